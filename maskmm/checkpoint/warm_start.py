"""Start a model from another one's weights, as far as they fit; freeze some of them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import torch
from torch import nn

from maskmm.checkpoint.hub import resolve_folder
from maskmm.checkpoint.reading import load_checkpoint
from maskmm.checkpoint.report import LoadReport
from maskmm.model import MaskedTransformer
from maskmm.nn.learned_positions import AxialPositions

_log = logging.getLogger(__name__)
Rows = dict[str, slice | list[int]]


@dataclass(frozen=True)
class WarmStart:
    """Where training starts from, and what it leaves alone.

    Args:
        folder: checkpoint folder or hub id whose main model's weights are taken over wherever names and shapes agree;
            rows of the vocabulary's tables go by modality, so that an imported text encoder can start the text of a
            model of several modalities. None = a new model.
        frozen: patterns of weights that are not trained, such as "embedding.*" or "blocks.[0-5].*".
    """

    folder: str | None = None
    frozen: Sequence[str] = ()


def read_model(folder: Path | str) -> MaskedTransformer:
    """The main model of a checkpoint folder or hub id.

    Raises:
        ValueError: see `load_checkpoint`.
    """
    return load_checkpoint(resolve_folder(folder)).models["main"]


@torch.no_grad()
def take_over(model: MaskedTransformer, source: MaskedTransformer, name: str) -> LoadReport:
    """Copy into `model` what fits of `source`, in place, and log what became of each name.

    Weights go by name and shape. Rows of the joint tables (codes, head, modalities, axial positions) go by what they
    stand for: a special, or a modality of the same name and size; the report names them "table[modality]".

    Args:
        model: what is trained.
        source: where weights come from.
        name: what to call it in the report.

    Raises:
        ValueError: no block fits.
    """
    theirs, their_rows, our_rows = (
        dict(source.named_parameters()),
        labelled_rows(source),
        labelled_rows(model),
    )
    loaded, new, used = [], [], set()
    for key, parameter in model.named_parameters():
        value = theirs.get(key)
        if (
            key in our_rows
            and key in their_rows
            and value is not None
            and value.shape[1:] == parameter.shape[1:]
        ):
            for label, rows in our_rows[key].items():
                found = their_rows[key].get(label)
                label = f"{key}[{label}]"
                if found is None or value[found].shape != parameter[rows].shape:
                    new.append(label)
                    continue
                parameter[rows] = value[found]
                loaded.append(label)
                used.add(label)
        elif value is not None and value.shape == parameter.shape and key not in our_rows:
            parameter.copy_(value)
            loaded.append(key)
            used.add(key)
        else:
            new.append(key)
    left = {key for key in theirs if key not in their_rows} - used
    left |= {f"{key}[{label}]" for key, rows in their_rows.items() for label in rows} - used
    report = LoadReport.of(name, loaded, new, left).log()
    if not any(key.startswith("blocks.") for key in loaded):
        raise ValueError(
            f"no block of {name} fits this model; give a checkpoint of a model of the same width"
        )
    return report


def labelled_rows(model: MaskedTransformer) -> dict[str, Rows]:
    """Name of each table whose rows stand for something -> label -> its rows."""
    vocabulary = model.vocabulary
    ids: Rows = {"PAD": [vocabulary.pad_id], "CLS": [vocabulary.cls_id], "SEP": [vocabulary.sep_id]}
    ids |= {f"MASK {kind}": [vocabulary.mask_id(kind)] for kind in range(1, vocabulary.num_mask_kinds + 1)}
    for m in vocabulary.modalities:
        ids |= {f"{m.name} {q}": vocabulary.slice(m.name, q) for q in range(m.spec.num_codebooks)}
    tables = {"embedding.codes.weight": ids, "head_weight": ids, "head_bias": ids}
    tables["embedding.modality.weight"] = {
        label: [row] for row, label in enumerate(("special rows", *vocabulary.names))
    }
    positions = model.embedding.positions
    if isinstance(positions, AxialPositions):
        tables["embedding.positions.weight"] = _axial_rows(model, positions)
    present = {key for key, _ in model.named_parameters()}
    return {key: rows for key, rows in tables.items() if key in present}


def _axial_rows(model: MaskedTransformer, positions: AxialPositions) -> Rows:
    vocabulary, rows = model.vocabulary, dict[str, slice | list[int]]()
    offset = positions.offset.tolist()
    for index, m in enumerate(vocabulary.modalities, start=1):
        for axis, extent in zip(m.spec.axes, m.spec.grid or ()):
            start = offset[index][vocabulary.axes.index(axis)]
            size = m.spec.max_length if extent is None else extent
            assert size is not None
            rows[f"{m.name} {axis}"] = slice(start, start + size)
    return rows


def freeze(module: nn.Module, patterns: Sequence[str]) -> list[str]:
    """Take the weights that match a pattern out of training; returns their names.

    Raises:
        ValueError: a pattern that matches nothing, or patterns that leave nothing to train.
    """
    names = [name for name, _ in module.named_parameters()]
    idle = [p for p in patterns if not any(fnmatchcase(name, p) for name in names)]
    if idle:
        raise ValueError(
            f"frozen={idle} match no weight; names are like {names[:3]}, and * stands for anything"
        )
    frozen = [name for name in names if any(fnmatchcase(name, p) for p in patterns)]
    if patterns and len(frozen) == len(names):
        raise ValueError(f"frozen={list(patterns)} match every weight; leave something to train")
    for name, parameter in module.named_parameters():
        if name in set(frozen):
            parameter.requires_grad_(False)
    if frozen:
        _log.info("%d of %d weights are frozen: %s", len(frozen), len(names), ", ".join(patterns))
    return frozen
