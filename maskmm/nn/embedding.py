"""Packed rows -> vectors: codes, mask kinds, modality, position, repeated segments, continuous inputs."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from maskmm.sequence import TokenSequence
from maskmm.vocabulary import Vocabulary

MAX_REPEATS = 8


class TokenEmbedding(nn.Module):
    """Sum of the embeddings of a row.

    The Q codes of a row are looked up in one joint table and summed ([PAD] counts for nothing); mask kinds are
    entries of the same table. A row whose continuous input is visible adds its projection.

    Args:
        vocabulary: joint ids.
        width: D.
        has_learned_positions: add a learned vector for each coordinate of each modality (axial), beside the
            rotary positions, which say only how far apart two rows are.
        input_widths: modality name -> C of its continuous inputs.
    """

    position_offset: Tensor

    def __init__(
        self, vocabulary: Vocabulary, width: int, has_learned_positions: bool, input_widths: Mapping[str, int]
    ) -> None:
        super().__init__()
        self.vocabulary = vocabulary
        self.codes = nn.Embedding(vocabulary.size, width, padding_idx=vocabulary.pad_id)
        self.modality = nn.Embedding(len(vocabulary.names) + 1, width)
        self.repeat = nn.Embedding(MAX_REPEATS, width)
        self.inputs = nn.ModuleDict(
            {_key(name): nn.Linear(size, width) for name, size in input_widths.items()}
        )
        self.positions: nn.Embedding | None = None
        if has_learned_positions:
            offset, size = _position_slots(vocabulary)
            self.register_buffer("position_offset", offset, persistent=False)
            self.positions = nn.Embedding(size, width, padding_idx=0)

    def forward(self, sequence: TokenSequence) -> Tensor:
        """(N, D)."""
        x_ND = self.codes(sequence.ids).sum(dim=1) + self.modality(sequence.modality)
        if self.positions is not None:
            offset_NA = self.position_offset[sequence.modality]
            slot_NA = torch.where(offset_NA > 0, offset_NA + sequence.position, 0)
            x_ND = x_ND + self.positions(slot_NA).sum(dim=1)
        if len(sequence.segments):
            x_ND = x_ND + self.repeat(_repeat_of_row(sequence))
        for name, value in sequence.inputs.items():
            x_ND = x_ND + self._project(name, value, sequence)
        return x_ND

    def _project(self, name: str, value: Tensor, sequence: TokenSequence) -> Tensor:
        """Projected inputs on the modality's rows whose first slot is not a mask id, zero elsewhere."""
        if _key(name) not in self.inputs:
            raise ValueError(
                f"continuous inputs for {name!r}, but the model has projections for {list(self.inputs)}"
            )
        projected = self.inputs[_key(name)](value)
        if not value.shape[0]:
            return projected.new_zeros(sequence.num_rows, projected.shape[1])
        # Ranks instead of row indices: finding those would wait for the device.
        is_mine = sequence.modality == self.vocabulary.index(name)
        torch._assert_async(
            is_mine.sum() == value.shape[0], f"inputs of {name!r}: one row for each of its tokens"
        )
        rank = (is_mine.cumsum(0) - 1).clamp(min=0)
        mask_ids = self.vocabulary.mask_ids()[1:].to(sequence.ids.device)
        is_shown = is_mine & ~torch.isin(sequence.ids[:, 0], mask_ids)
        return projected[rank] * is_shown[:, None]


def _key(name: str) -> str:
    return name.replace(".", "_")  # module names cannot hold dots


def _position_slots(vocabulary: Vocabulary) -> tuple[Tensor, int]:
    """First table row for each (modality index, axis), 0 where the modality lacks the axis; and the table size."""
    offset = torch.zeros(len(vocabulary.names) + 1, len(vocabulary.axes), dtype=torch.int64)
    size = 1
    for index, m in enumerate(vocabulary.modalities, start=1):
        for axis, extent in zip(m.spec.axes, m.spec.grid or ()):
            offset[index, vocabulary.axes.index(axis)] = size
            size += m.spec.max_length if extent is None else extent  # type: ignore[operator]
    return offset, size


def _repeat_of_row(sequence: TokenSequence) -> Tensor:
    """(N,) how many earlier segments of the same modality the row's sample has (two images: 0 and 1)."""
    table = sequence.segments
    num = len(sequence.vocabulary.names)
    pair = table.sample * num + table.modality
    order = torch.argsort(pair, stable=True)
    sorted_pair = pair[order]
    index = torch.arange(len(table), device=pair.device)
    is_first = torch.ones_like(sorted_pair, dtype=torch.bool)
    is_first[1:] = sorted_pair[1:] != sorted_pair[:-1]
    first = torch.where(is_first, index, 0).cummax(0).values
    repeat = torch.empty_like(index)
    repeat[order] = (index - first).clamp(max=MAX_REPEATS - 1)
    return torch.where(sequence.segment >= 0, repeat[sequence.segment], 0)
