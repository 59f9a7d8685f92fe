"""Where each row is: along the axes of its segment, or by its number in the sample."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from maskmm.nn.config import PositionSource
from maskmm.sequence import TokenSequence
from maskmm.vocabulary import Vocabulary


def num_axes(vocabulary: Vocabulary, source: PositionSource) -> int:
    """A of `coordinates`."""
    return 1 if source == "sample" else len(vocabulary.axes)


def coordinates(sequence: TokenSequence, source: PositionSource) -> Tensor:
    """(N, A) int64: positions on the vocabulary's axes, or the row's number in its whole sample (A = 1)."""
    return sequence.position if source == "segment" else row_number(sequence)[:, None]


def row_number(sequence: TokenSequence) -> Tensor:
    """(N,) int64, 0-based number of each row in its sample as it was packed, special rows included.

    Rows that were left out or changed places since keep the number they had: it comes from the table of segments.
    Segments of which no row is left (an absent condition) do not count. A special row inside a sample follows the
    segment of the row before it.
    """
    table, cu_seqlens = sequence.segments, sequence.cu_seqlens
    if not len(table):
        return sequence.row_in_sample()
    is_token = sequence.segment >= 0
    is_present = (
        torch.zeros_like(table.sample).index_add(0, sequence.segment.clamp(min=0), is_token.long()) > 0
    )
    length = (table.length + _is_closed(sequence)) * is_present
    before = length.cumsum(0) - length
    far = torch.iinfo(torch.int64).max
    first = torch.full_like(sequence.sample_id, far).scatter_reduce(0, table.sample, before, "amin")
    index = torch.arange(sequence.num_rows, device=cu_seqlens.device)
    is_opening = ~is_token & (index == cu_seqlens[sequence.sample])
    num_opening = torch.zeros_like(sequence.sample_id).index_add(0, sequence.sample, is_opening.long())
    start = before - first[table.sample] + num_opening[table.sample]
    number = start[sequence.segment] + _rank_in_segment(sequence)
    follows = sequence.segment.roll(1)
    number = torch.where(is_token, number, start[follows] + table.length[follows])
    return torch.where(is_opening, 0, number)


def _is_closed(sequence: TokenSequence) -> Tensor:
    """(S,) bool: segments that a [SEP] row follows."""
    name, modality = sequence.vocabulary.closed_modality, sequence.segments.modality
    if name is None:
        return torch.zeros_like(modality, dtype=torch.bool)
    return modality == sequence.vocabulary.index(name) - 1


def _rank_in_segment(sequence: TokenSequence) -> Tensor:
    """(N,) int64 from the coordinates; anything on special rows."""
    shape = sequence.segments.shape
    axis_of = _axis_of_dimension(sequence.vocabulary, shape.shape[1]).to(shape.device, non_blocking=True)
    along = F.pad(sequence.position, (0, 1))  # a modality's missing dimensions read the zeros at the end
    rank = torch.zeros_like(sequence.sample)
    for dimension in range(shape.shape[1]):
        axis = axis_of[sequence.modality, dimension][:, None]
        rank = rank * shape[sequence.segment, dimension] + along.gather(1, axis)[:, 0]
    return rank


def _axis_of_dimension(vocabulary: Vocabulary, num_dimensions: int) -> Tensor:
    """(modalities + 1, dimensions) int64: the vocabulary's axis behind each dimension of a segment's shape."""
    table = torch.full((len(vocabulary.names) + 1, num_dimensions), len(vocabulary.axes), dtype=torch.int64)
    for index, m in enumerate(vocabulary.modalities, start=1):
        for dimension, axis in enumerate(m.spec.axes):
            table[index, dimension] = vocabulary.axes.index(axis)
    return table
