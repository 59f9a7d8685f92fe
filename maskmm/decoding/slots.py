"""The unknown slots of a packed sequence: (row, codebook) pairs still to be filled."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from maskmm.ranking import rank_within
from maskmm.sequence import TokenSequence


@dataclass(frozen=True)
class Slots:
    """T slots; all fields (T,) int64.

    Attributes:
        row: row of the sequence.
        codebook: which of the row's codes.
        modality: vocabulary index of the row's modality.
        sample: which of the B samples.
        sample_id: name of that sample for hashed randomness.
        segment: rank of the row's segment within its sample.
        place: rank of the row within its segment.
    """

    row: Tensor
    codebook: Tensor
    modality: Tensor
    sample: Tensor
    sample_id: Tensor
    segment: Tensor
    place: Tensor

    def __len__(self) -> int:
        return self.row.shape[0]

    @classmethod
    def of(cls, sequence: TokenSequence, is_unknown: Tensor) -> Slots:
        """Slots where is_unknown (N, Q) is True, in row order and by codebook within a row."""
        row, codebook = is_unknown.nonzero(as_tuple=True)
        sample = sequence.sample[row]
        first_segment = torch.searchsorted(sequence.segments.sample, sample)
        return cls(
            row=row,
            codebook=codebook,
            modality=sequence.modality[row],
            sample=sample,
            sample_id=sequence.sample_id[sample],
            segment=sequence.segment[row] - first_segment,
            place=sequence.row_in_segment()[row],
        )

    def select(self, is_kept: Tensor) -> Slots:
        """The slots where is_kept (T,) is True."""
        return Slots(*(getattr(self, f.name)[is_kept] for f in fields(self)))

    def join(self, other: Slots) -> Slots:
        """These slots, and after them the others."""
        return Slots(*(torch.cat([getattr(self, f.name), getattr(other, f.name)]) for f in fields(self)))

    def count(self, num_samples: int) -> Tensor:
        """(num_samples,) int64, slots of each sample."""
        return self.row.new_zeros(num_samples).index_add_(0, self.sample, torch.ones_like(self.row))

    def counters(self, step: int) -> tuple[Tensor | int, ...]:
        """What a random number of this step hashes: nothing here depends on what else is in the batch."""
        return self.sample_id, step, self.segment, self.place, self.codebook


def rank_in_sample(slots: Slots, score: Tensor, priority: Tensor) -> Tensor:
    """(T,) int64, place of each slot within its sample: lower priority first, then higher score, then slot order."""
    by_score = rank_within(slots.sample, -score)
    return rank_within(slots.sample, priority * len(slots) + by_score)
