"""Codes sampled for slots, with how sure the model was of each."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from maskmm.decoding.slots import Slots


@dataclass(frozen=True)
class Guesses:
    """A code for each of T slots.

    Attributes:
        slots: the T slots.
        codes: (T,) int64.
        log_prob: (T,) float32, log-probability of each code when it was sampled, untempered.
    """

    slots: Slots
    codes: Tensor
    log_prob: Tensor

    @classmethod
    def none(cls, slots: Slots) -> Guesses:
        """No guesses, on the device of some slots."""
        return cls(slots.select(slots.row < 0), slots.row[:0], torch.zeros(0, device=slots.row.device))

    def select(self, is_kept: Tensor) -> Guesses:
        """The guesses where is_kept (T,) is True."""
        return Guesses(self.slots.select(is_kept), self.codes[is_kept], self.log_prob[is_kept])

    def join(self, other: Guesses) -> Guesses:
        """These guesses, and after them the others."""
        return Guesses(
            self.slots.join(other.slots),
            torch.cat([self.codes, other.codes]),
            torch.cat([self.log_prob, other.log_prob]),
        )
