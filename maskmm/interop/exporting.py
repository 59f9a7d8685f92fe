"""Our text encoders as folders that transformers loads."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer as Pieces
from torch import Tensor

from maskmm.interop import bert, modernbert
from maskmm.interop.fields import Fields
from maskmm.interop.public_model import PublicModel
from maskmm.interop.rules import Rule, to_theirs
from maskmm.interop.translation import TEXT, Translation
from maskmm.model import MaskedTransformer, TransformerConfig
from maskmm.pipeline import Pipeline
from maskmm.vocabulary import Vocabulary

_TOKEN_NAMES = {"[CLS]": "cls_token", "[SEP]": "sep_token", "[MASK]": "mask_token"}
_UNPLACED_NAMES = {"unk_token": ("[UNK]", "<unk>"), "pad_token": ("[PAD]", "<pad>")}
"""Special tokens that packing never places, by their usual names, the likeliest first."""


@dataclass(frozen=True)
class _Architecture:
    """What one architecture file knows about the way back."""

    fields: Callable[[TransformerConfig, Vocabulary], dict[str, Any]]
    names: Callable[[Mapping[str, Tensor], bool], dict[str, Tensor]]
    translate: Callable[[PublicModel], Translation]
    make_rules: Callable[[TransformerConfig, Vocabulary], list[Rule]]
    head_marker: str


_ARCHITECTURES = {
    "bert": _Architecture(
        bert.export_fields,
        bert.export_weights,
        bert.translate,
        bert.make_rules,
        "cls.predictions.transform.dense.weight",
    ),
    "modernbert": _Architecture(
        modernbert.export_fields,
        modernbert.export_weights,
        modernbert.translate,
        modernbert.make_rules,
        "head.dense.weight",
    ),
}
ARCHITECTURES = tuple(_ARCHITECTURES)


def export_transformers(pipeline: Pipeline, folder: Path | str, architecture: str) -> None:
    """Write config.json, model.safetensors and the tokenizer's files.

    Args:
        pipeline: of a text encoder, imported or trained with such a configuration.
        folder: must be new or empty; it is whole or not there.
        architecture: "bert" or "modernbert".

    Raises:
        ValueError: an unknown architecture, a model that it cannot express (every field by name), other modalities, or
            a folder that holds something.
    """
    if architecture not in _ARCHITECTURES:
        raise ValueError(f"architecture {architecture!r}, expected one of {ARCHITECTURES}")
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder} is not empty; export to a new folder")
    config, weights = _to_public(pipeline.model, _ARCHITECTURES[architecture])
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as scratch:
        staged = Path(scratch) / "new"
        staged.mkdir()
        if TEXT in pipeline.tokenizers:
            config |= _write_tokenizer(pipeline, staged, has_token_types=config.get("type_vocab_size", 1) > 1)
        (staged / "config.json").write_text(json.dumps(config, indent=2) + "\n")
        save_file(weights, staged / "model.safetensors", metadata={"format": "pt"})
        if folder.exists():
            folder.rmdir()
        staged.rename(folder)


def _to_public(
    model: MaskedTransformer, architecture: _Architecture
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Their configuration and weights, if translating them back gives this very model."""
    _check_modality(model.vocabulary)
    config = architecture.fields(model.config, model.vocabulary)
    has_head = model.config.head.kind == "dense"
    # Only the names of weights decide what the translation finds in them.
    names = {architecture.head_marker: torch.empty(0)} if has_head else {}
    back = architecture.translate(PublicModel(Fields(config, "the exported model"), names))
    _check_same(_paired_as(back.config, model.config), back.config, config["model_type"])
    ours = {name: p.detach().cpu().float() for name, p in model.named_parameters()}
    rules = architecture.make_rules(model.config, model.vocabulary)
    return config, architecture.names(to_theirs(rules, ours), has_head)


def _paired_as(back: TransformerConfig, config: TransformerConfig) -> TransformerConfig:
    """The config, but for the order of a head's channels: weights are written in theirs, whatever it is."""
    return replace(config, positions=replace(config.positions, pairing=back.positions.pairing))


def _check_modality(vocabulary: Vocabulary) -> None:
    own = {TEXT, f"{TEXT}.length"}  # the label of a text's length, which training adds, stays behind
    if TEXT not in vocabulary.names or not own.issuperset(vocabulary.names) or vocabulary.num_mask_kinds != 1:
        raise ValueError(
            f"the model has modalities {list(vocabulary.names)} and {vocabulary.num_mask_kinds} mask kinds; "
            f"transformers' text encoders have {TEXT!r} alone and one mask"
        )
    needed = {"[CLS]", "[MASK]"} if vocabulary.has_cls else set()
    lacking = sorted(needed - vocabulary.aliases.keys())
    if lacking:
        raise ValueError(
            f"{lacking} are rows of our own table, not codes of the text vocabulary; a model can be exported if its "
            "vocabulary was imported"
        )


def _check_same(ours: TransformerConfig, back: TransformerConfig, model_type: str) -> None:
    mine, theirs = _flat(asdict(ours)), _flat(asdict(back))
    differing = [
        f"{name}={mine.get(name)!r} ({model_type} has {theirs.get(name)!r})"
        for name in sorted(mine | theirs)
        if mine.get(name) != theirs.get(name)
    ]
    if differing:
        raise ValueError(f"{model_type} cannot express this model: {', '.join(differing)}")


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def _write_tokenizer(pipeline: Pipeline, folder: Path, has_token_types: bool) -> dict[str, Any]:
    """Write the tokenizer's files; returns the ids of its special tokens as configurations name them."""
    tokenizer, aliases = pipeline.tokenizers[TEXT], pipeline.vocabulary.aliases
    tokenizer.save_files(folder)
    settings: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_input_names": ["input_ids", *["token_type_ids"] * has_token_types, "attention_mask"],
    }
    pieces = Pieces.from_file(str(folder / "tokenizer.json"))
    for special, key in _TOKEN_NAMES.items():
        if special in aliases:
            settings[key] = pieces.id_to_token(aliases[special][1])
    known = pieces.get_vocab(with_added_tokens=True)
    settings |= {key: name for key, names in _UNPLACED_NAMES.items() for name in names[::-1] if name in known}
    settings["model_max_length"] = tokenizer.spec.max_tokens + pipeline.vocabulary.num_special_rows
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n")
    ids = {f"{key}_id": aliases[name][1] for name, key in _TOKEN_NAMES.items() if name in aliases}
    ids |= {"pad_token_id": known[settings["pad_token"]]} if "pad_token" in settings else {}
    return {key: value for key, value in ids.items() if key != "mask_token_id"}
