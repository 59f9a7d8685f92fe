"""Public models in, pipelines out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import nn

from maskmm.checkpoint.report import LoadReport
from maskmm.interop import beats, beit, bert, eurobert, modernbert, neobert, roberta, timm_beit
from maskmm.interop.public_model import PublicModel, from_file, from_folder, from_object
from maskmm.interop.translation import Translation
from maskmm.pipeline import Pipeline

_TRANSFORMERS: dict[str, Callable[[PublicModel], Translation]] = {
    "bert": bert.translate,
    "roberta": roberta.translate,
    "modernbert": modernbert.translate,
    "eurobert": eurobert.translate,
    "neobert": neobert.translate,
    "beit": beit.translate,
}


def from_transformers(model: nn.Module | Path | str, tokenizer: Any = None) -> Pipeline:
    """A pipeline of a public encoder: transformers' BERT, RoBERTa, ModernBERT, EuroBERT, BEiT; NeoBERT by path.

    Nothing but tensors and JSON is read; transformers itself need not be installed for a folder.

    Args:
        model: a model of transformers, its folder, or a hub id.
        tokenizer: of text: a fast tokenizer of transformers, a folder with its files, or None: the model's own folder.
            A model that comes without a folder and without a tokenizer takes codes that are its own ids.

    Raises:
        ValueError: an unknown architecture, a field that the family cannot express, weights that are missing or extra,
            or a tokenizer that does not fit.
    """
    if isinstance(model, nn.Module):
        return _logged(translate(from_object(model, _config_of(model), tokenizer)))
    return _logged(translate(from_folder(model, tokenizer)))


def from_timm(model: nn.Module | Path | str) -> Pipeline:
    """A pipeline of a BEiT of timm.

    Args:
        model: a model of timm, a folder with its config.json and weights, or a hub id.

    Raises:
        ValueError: another architecture, a shape that the family cannot express, weights that are missing or extra.
    """
    if not isinstance(model, nn.Module):
        return _logged(timm_beit.translate(from_folder(model)))
    return _logged(timm_beit.translate(from_object(model, timm_beit.shape_of(model))))


def from_beats(path: Path | str) -> Pipeline:
    """A pipeline of a BEATs checkpoint: one torch file, of which tensors and plain values alone are read.

    Raises:
        ValueError: no such file, a field that the family cannot express, weights that are missing or extra.
    """
    return _logged(beats.translate(from_file(path)))


def read_public(source: Path | str, tokenizer: Any = None) -> tuple[Pipeline, LoadReport]:
    """Any public model by path or hub id, whoever publishes it, and what became of each of its weights.

    Args:
        source: a file (BEATs), a folder or hub id (transformers, timm, NeoBERT).
        tokenizer: see `from_transformers`.

    Raises:
        ValueError: an unknown architecture, or as the functions above.
    """
    if Path(source).is_file():
        return assemble(beats.translate(from_file(source)))
    return assemble(translate(from_folder(source, tokenizer)))


def translate(public: PublicModel) -> Translation:
    """The translation that a model's configuration asks for.

    Raises:
        ValueError: an unknown architecture, or what its translation refuses.
    """
    fields = public.fields
    kind, timm_name = fields.get("model_type", None), str(fields.get("architecture", ""))
    if kind is None and timm_name.startswith(timm_beit.ARCHITECTURES):
        return timm_beit.translate(public)
    if kind not in _TRANSFORMERS:
        named = f"model_type={kind!r}" if kind is not None or not timm_name else f"architecture={timm_name!r}"
        raise ValueError(
            f"{fields.source} has {named}, expected a model_type among {sorted(_TRANSFORMERS)}, or a BEiT of timm; a "
            "config.json that is older than the field can be given it"
        )
    return _TRANSFORMERS[kind](public)


def assemble(translation: Translation) -> tuple[Pipeline, LoadReport]:
    """The pipeline of a translation, and its report."""
    model, report = translation.build()
    return Pipeline(model, translation.tokenizers), report


def _logged(translation: Translation) -> Pipeline:
    pipeline, report = assemble(translation)
    report.log()
    return pipeline


def _config_of(model: nn.Module) -> Mapping[str, Any]:
    config = getattr(model, "config", None)
    if config is None or not hasattr(config, "to_dict"):
        raise ValueError(f"{type(model).__name__} has no config of transformers; give one of its models")
    return config.to_dict()
