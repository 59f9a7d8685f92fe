"""Naive twin of packing: one Python loop over samples, segments, grid cells and codebooks."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from maskmm.vocabulary import Vocabulary
from tokenizers_vq.contract import TokenBatch


@dataclass
class Row:
    """One packed row."""

    sample: int
    segment: int
    modality: int
    ids: list[int]
    position: list[int]
    condition_ids: list[int]
    group: int
    inputs: list[float] | None
    closes: int = -1  # a [SEP] row names the segment before it


def pack_rows(batch: TokenBatch, vocabulary: Vocabulary, has_cls: bool) -> list[Row]:
    """Every row of the packed batch, in order."""
    rows: list[Row] = []
    table = batch.segments
    for sample in range(batch.num_samples):
        if has_cls:
            ids = _padded([vocabulary.cls_id], vocabulary)
            rows.append(Row(sample, -1, 0, ids, [0] * len(vocabulary.axes), list(ids), -1, None))
        for segment in range(len(table)):
            if int(table.sample[segment]) != sample:
                continue
            name = batch.names[int(table.modality[segment])]
            cells = itertools.product(*(range(size) for size in table.shape[segment].tolist()))
            for rank, cell in enumerate(cells):
                source = int(table.start[segment]) + rank
                rows.append(_row(batch, vocabulary, sample, segment, name, cell, source))
            if "[SEP]" in vocabulary.aliases and vocabulary.aliases["[SEP]"][0] == name:
                ids = _padded([vocabulary.sep_id], vocabulary)
                rows.append(Row(sample, -1, 0, ids, [0] * len(vocabulary.axes), list(ids), -1, None, segment))
    return rows


def _row(
    batch: TokenBatch,
    vocabulary: Vocabulary,
    sample: int,
    segment: int,
    name: str,
    cell: tuple[int, ...],
    source: int,
) -> Row:
    axes = vocabulary.spec(name).axes
    position = [cell[axes.index(axis)] if axis in axes else 0 for axis in vocabulary.axes]
    has_condition, has_group = name in batch.condition_codes, name in batch.group
    return Row(
        sample,
        segment,
        vocabulary.names.index(name) + 1,
        _ids(batch.codes[name][source].tolist(), name, vocabulary),
        position,
        _ids(batch.condition_codes[name][source].tolist(), name, vocabulary)
        if has_condition
        else _padded([], vocabulary),
        int(batch.group[name][source]) if has_group else -1,
        batch.inputs[name][source].tolist() if name in batch.inputs else None,
    )


def _ids(codes: list[int], name: str, vocabulary: Vocabulary) -> list[int]:
    ids = [vocabulary.slice(name, codebook).start + code for codebook, code in enumerate(codes)]
    return _padded(ids, vocabulary)


def _padded(ids: list[int], vocabulary: Vocabulary) -> list[int]:
    return ids + [0] * (vocabulary.num_codebooks - len(ids))
