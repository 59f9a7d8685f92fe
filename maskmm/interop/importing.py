"""Public models in, pipelines out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import nn

from maskmm.checkpoint.report import LoadReport
from maskmm.interop import bert, eurobert, modernbert, neobert, roberta
from maskmm.interop.public_model import PublicModel, from_folder, from_object
from maskmm.interop.translation import Translation
from maskmm.pipeline import Pipeline

_TRANSLATORS: dict[str, Callable[[PublicModel], Translation]] = {
    "bert": bert.translate,
    "roberta": roberta.translate,
    "modernbert": modernbert.translate,
    "eurobert": eurobert.translate,
    "neobert": neobert.translate,
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
    return read_transformers(model, tokenizer)[0]


def read_transformers(model: nn.Module | Path | str, tokenizer: Any = None) -> tuple[Pipeline, LoadReport]:
    """`from_transformers`, and what became of each weight."""
    if isinstance(model, nn.Module):
        public = from_object(model, _config_of(model), tokenizer)
    else:
        public = from_folder(model, tokenizer)
    kind = public.fields.get("model_type", None)
    if kind not in _TRANSLATORS:
        raise ValueError(
            f"{public.fields.source} has model_type={kind!r}, expected one of {sorted(_TRANSLATORS)}"
        )
    return _assemble(_TRANSLATORS[kind](public))


def _assemble(translation: Translation) -> tuple[Pipeline, LoadReport]:
    model, report = translation.build()
    return Pipeline(model, translation.tokenizers), report.log()


def _config_of(model: nn.Module) -> Mapping[str, Any]:
    config = getattr(model, "config", None)
    if config is None or not hasattr(config, "to_dict"):
        raise ValueError(f"{type(model).__name__} has no config of transformers; give one of its models")
    return config.to_dict()
