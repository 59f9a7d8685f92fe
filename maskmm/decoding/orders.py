"""Which slots are revealed first."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field

import torch
from torch import Tensor

from maskmm.decoding.slots import Slots
from tokenizers_vq.contract import Key


class UnmaskOrder(ABC):
    """Ranks the masked slots of each sample; higher scores are revealed first."""

    @abstractmethod
    def scores(self, slots: Slots, log_prob: Tensor, progress: Tensor, step: int, key: Key) -> Tensor:
        """Scores of all masked slots.

        Args:
            slots: T slots still masked.
            log_prob: (T,) float32, log-probability of the code sampled for each, untempered.
            progress: (T,) float64, t / T of the slot's sample at the *current* step, in (0, 1].
            step: current step, 1-based.
            key: randomness of the order.

        Returns:
            (T,) floats.
        """

    def priority(self, slots: Slots) -> Tensor:
        """(T,) int64; slots of lower priority come first, whatever their score. All alike by default."""
        return torch.zeros_like(slots.row)


@dataclass(frozen=True)
class ConfidenceOrder(UnmaskOrder):
    """The codes the model is surest of first, blurred by Gumbel noise (Chang et al., MaskGIT, 2022).

    The noise at a step is noise_temperature * (1 - progress), from the current step alone: it never compounds.

    Args:
        noise_temperature: at least 0; 0 is pure confidence. MaskGIT takes 4.5.

    Raises:
        ValueError: a negative or infinite noise temperature.
    """

    noise_temperature: float = 4.5

    def __post_init__(self) -> None:
        if not (0.0 <= self.noise_temperature < math.inf):
            raise ValueError(f"noise_temperature={self.noise_temperature}, expected 0 or a positive number")

    def noise_at(self, progress: Tensor) -> Tensor:
        """Temperature of the noise at a share of the way (any shape)."""
        return self.noise_temperature * (1.0 - progress)

    def scores(self, slots: Slots, log_prob: Tensor, progress: Tensor, step: int, key: Key) -> Tensor:
        """Log-probability plus annealed Gumbel noise, float64."""
        if self.noise_temperature == 0.0:
            return log_prob.double()
        return log_prob.double() + self.noise_at(progress) * key.gumbel(*slots.counters(step))


@dataclass(frozen=True)
class RandomOrder(UnmaskOrder):
    """Any masked slot with the same chance."""

    def scores(self, slots: Slots, log_prob: Tensor, progress: Tensor, step: int, key: Key) -> Tensor:
        """Uniform numbers, float64."""
        return key.uniform(*slots.counters(step))


@dataclass(frozen=True)
class CoarseFirst(UnmaskOrder):
    """All of a sample's first codebook before its second, and so on: for residual codes, whose finer levels only
    make sense once the coarser ones are known (Borsos et al., SoundStorm, 2023).

    Args:
        order: ranks the slots of one codebook.
    """

    order: UnmaskOrder = field(default_factory=ConfidenceOrder)

    def scores(self, slots: Slots, log_prob: Tensor, progress: Tensor, step: int, key: Key) -> Tensor:
        """Scores of the inner order."""
        return self.order.scores(slots, log_prob, progress, step, key)

    def priority(self, slots: Slots) -> Tensor:
        """The codebook."""
        return slots.codebook
