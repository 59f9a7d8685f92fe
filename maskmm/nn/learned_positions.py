"""Learned positions that are added to the embedding."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from maskmm.nn.config import PositionConfig
from maskmm.nn.coordinates import row_number
from maskmm.sequence import TokenSequence
from maskmm.vocabulary import Vocabulary


class AxialPositions(nn.Embedding):
    """A vector for each coordinate of each axis of each modality; a row's are summed.

    Args:
        vocabulary: its modalities' grids give the table its rows; row 0 is nothing.
        width: D.
    """

    offset: Tensor
    extent: Tensor

    def __init__(self, vocabulary: Vocabulary, width: int) -> None:
        offset, extent = _axial_slots(vocabulary)
        super().__init__(1 + int(extent.sum()), width, padding_idx=0)
        self.register_buffer("offset", offset, persistent=False)
        self.register_buffer("extent", extent, persistent=False)

    def slots(self, sequence: TokenSequence) -> Tensor:
        """(N, A) int64 rows of the table.

        Raises:
            ValueError: a coordinate beyond its modality's grid or `max_length` (on CUDA and in graphs a device-side
                assertion): its row of the table would be another modality's.
        """
        offset_NA = self.offset[sequence.modality]
        has_axis_NA = offset_NA > 0
        is_outside_NA = has_axis_NA & (sequence.position >= self.extent[sequence.modality])
        if _is_checked_later(is_outside_NA):
            torch._assert_async(~is_outside_NA.any(), "a coordinate lies beyond the table of positions")
        elif bool(is_outside_NA.any()):
            row, axis = is_outside_NA.nonzero()[0].tolist()
            modality = int(sequence.modality[row])
            raise ValueError(
                f"{sequence.vocabulary.names[modality - 1]!r} has coordinate {int(sequence.position[row, axis])} on "
                f"axis {sequence.vocabulary.axes[axis]!r}, but the table of positions has "
                f"{int(self.extent[modality, axis])}; cut the sample, or give the modality a larger max_length or grid"
            )
        return torch.where(has_axis_NA, offset_NA + sequence.position, 0)


class AbsolutePositions(nn.Embedding):
    """A vector for each row number in the sample (Devlin et al., BERT, 2019).

    Args:
        size: rows of the table.
        first: row of the table for row number 0.
        width: D.
    """

    def __init__(self, size: int, first: int, width: int) -> None:
        super().__init__(size, width)
        self.first = first

    def slots(self, sequence: TokenSequence) -> Tensor:
        """(N, 1) int64 rows of the table.

        Raises:
            ValueError: a sample with more rows than the table (on CUDA and in graphs a device-side assertion).
        """
        slot_N = row_number(sequence) + self.first
        is_inside = (slot_N < self.num_embeddings).all()
        if _is_checked_later(slot_N):
            torch._assert_async(is_inside, "a sample has more rows than the table of positions")
        elif not bool(is_inside):
            raise ValueError(
                f"a sample has {int(slot_N.max()) + 1 - self.first} rows, but the table of size={self.num_embeddings}, "
                f"offset={self.first} places {self.num_embeddings - self.first}; cut the sample"
            )
        return slot_N[:, None]


def build_positions(
    vocabulary: Vocabulary, width: int, config: PositionConfig
) -> AxialPositions | AbsolutePositions | None:
    """The learned positions that the config names."""
    if config.learned == "axial":
        return AxialPositions(vocabulary, width)
    if config.size is not None:
        return AbsolutePositions(config.size, config.offset, width)
    return None


def _is_checked_later(x: Tensor) -> bool:
    """Where an error of its own would wait for the device, or break a graph."""
    return x.device.type != "cpu" or torch.compiler.is_compiling()


def _axial_slots(vocabulary: Vocabulary) -> tuple[Tensor, Tensor]:
    """First table row and their number for each (modality index, axis), 0 where the modality lacks the axis."""
    offset = torch.zeros(len(vocabulary.names) + 1, len(vocabulary.axes), dtype=torch.int64)
    extent = torch.zeros_like(offset)
    size = 1
    for index, m in enumerate(vocabulary.modalities, start=1):
        for axis, given in zip(m.spec.axes, m.spec.grid or ()):
            rows = m.spec.max_length if given is None else given
            assert rows is not None
            column = vocabulary.axes.index(axis)
            offset[index, column], extent[index, column] = size, rows
            size += rows
    return offset, extent
