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

    def __init__(self, vocabulary: Vocabulary, width: int) -> None:
        offset, size = _axial_slots(vocabulary)
        super().__init__(size, width, padding_idx=0)
        self.register_buffer("offset", offset, persistent=False)

    def slots(self, sequence: TokenSequence) -> Tensor:
        """(N, A) int64 rows of the table."""
        offset_NA = self.offset[sequence.modality]
        return torch.where(offset_NA > 0, offset_NA + sequence.position, 0)


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
        """(N, 1) int64 rows of the table; longer samples are refused with the attention's layout."""
        return (row_number(sequence) + self.first).clamp(max=self.num_embeddings - 1)[:, None]


def build_positions(
    vocabulary: Vocabulary, width: int, config: PositionConfig
) -> AxialPositions | AbsolutePositions | None:
    """The learned positions that the config names."""
    if config.learned == "axial":
        return AxialPositions(vocabulary, width)
    if config.size is not None:
        return AbsolutePositions(config.size, config.offset, width)
    return None


def _axial_slots(vocabulary: Vocabulary) -> tuple[Tensor, int]:
    """First table row for each (modality index, axis), 0 where the modality lacks the axis; and the table size."""
    offset = torch.zeros(len(vocabulary.names) + 1, len(vocabulary.axes), dtype=torch.int64)
    size = 1
    for index, m in enumerate(vocabulary.modalities, start=1):
        for axis, extent in zip(m.spec.axes, m.spec.grid or ()):
            offset[index, vocabulary.axes.index(axis)] = size
            size += m.spec.max_length if extent is None else extent  # type: ignore[operator]
    return offset, size
