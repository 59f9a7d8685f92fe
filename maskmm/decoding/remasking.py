"""Which filled slots are masked again, so that decoding can take back what it said early."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from maskmm.decoding.guesses import Guesses
from maskmm.decoding.slots import rank_in_sample
from tokenizers_vq.contract import Key


class RemaskPolicy(ABC):
    """Chooses filled slots to mask again.

    How many slots stay masked after a step is the schedule's matter alone: for each filled slot that is masked again,
    one more masked slot is revealed. Codes that were given are never touched, and the last step masks nothing.
    """

    @abstractmethod
    def reopened(self, filled: Guesses, masked: Guesses, num_left: Tensor, step: int, key: Key) -> Tensor:
        """Which filled slots may be masked again.

        Where more are chosen than stay masked after the step, the least sure of them are masked.

        Args:
            filled: F slots that earlier steps filled.
            masked: T slots that this step sampled.
            num_left: (B,) int64, slots of each sample that are masked after this step.
            step: current step, 1-based.
            key: randomness of the policy.

        Returns:
            (F,) bool.
        """


@dataclass(frozen=True)
class ConfidenceRemask(RemaskPolicy):
    """The least sure of all slots are masked, whether this step or an earlier one filled them (Ghazvininejad et al.,
    Mask-Predict, 2019). A slot's confidence is that of the step that sampled its code.
    """

    def reopened(self, filled: Guesses, masked: Guesses, num_left: Tensor, step: int, key: Key) -> Tensor:
        """The filled ones among the `num_left` least probable codes of each sample."""
        slots = filled.slots.join(masked.slots)
        log_prob = torch.cat([filled.log_prob, masked.log_prob]).double()
        rank = rank_in_sample(slots, log_prob, torch.zeros_like(slots.row))
        is_unsure = rank >= (slots.count(len(num_left)) - num_left)[slots.sample]
        return is_unsure[: len(filled.slots)]


@dataclass(frozen=True)
class RandomRemask(RemaskPolicy):
    """A fixed share of the filled slots, drawn anew at each step (Wang et al., ReMDM, 2025, in its simplest form).

    Args:
        share: of a sample's filled slots, rounded down.

    Raises:
        ValueError: a share outside (0, 1].
    """

    share: float = 0.1

    def __post_init__(self) -> None:
        if not 0.0 < self.share <= 1.0:
            raise ValueError(f"remask share={self.share}, expected above 0 and up to 1")

    def reopened(self, filled: Guesses, masked: Guesses, num_left: Tensor, step: int, key: Key) -> Tensor:
        """As many as the share says."""
        slots = filled.slots
        rank = rank_in_sample(slots, key.uniform(*slots.counters(step)), torch.zeros_like(slots.row))
        wanted_B = (self.share * slots.count(len(num_left)).double()).long()
        return rank < wanted_B[slots.sample]
