"""Which samples at which step: a pure function, so that resume needs nothing but the step."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tokenizers_vq.contract import Key

_ROUNDS = 6


def permuted(index: Tensor, size: int, key: Key, epoch: Tensor) -> Tensor:
    """Where a shuffle of 0..size-1 sends each index, without making the shuffle.

    A Feistel network over the next even power of two, walked until it falls below `size` (Black and Rogaway,
    "Ciphers with arbitrary finite domains", 2002). It costs the same for ten samples and for ten billion.

    Args:
        index: (B,) int64 in [0, size).
        size: numbers that are shuffled.
        key: names the family of shuffles.
        epoch: (B,) int64, which shuffle of the family.

    Returns:
        (B,) int64 in [0, size); a bijection for each epoch.
    """
    half = max(1, ((size - 1).bit_length() + 1) // 2)
    low_bits = (1 << half) - 1
    value = index
    is_outside = torch.ones_like(index, dtype=torch.bool)
    while bool(is_outside.any()):
        left, right = value >> half, value & low_bits
        for turn in range(_ROUNDS):
            left, right = right, left ^ (key.bits(epoch, right, turn) & low_bits)
        value = torch.where(is_outside, (left << half) | right, value)
        is_outside = value >= size
    return value


@dataclass(frozen=True)
class BatchPlan:
    """Shuffled without replacement: each run of `num_samples` draws holds every sample once.

    Where the batch size does not divide, a batch takes the end of one epoch and the start of the next.

    Args:
        num_samples: samples in the data.
        batch_size: samples a step, over all ranks together.
        seed: decides the order.

    Raises:
        ValueError: num_samples or batch_size below 1.
    """

    num_samples: int
    batch_size: int
    seed: int

    def __post_init__(self) -> None:
        if self.num_samples < 1 or self.batch_size < 1:
            raise ValueError(
                f"num_samples={self.num_samples} and batch_size={self.batch_size} must be at least 1"
            )

    def draws(self, step: int, rank: int = 0, world_size: int = 1) -> Tensor:
        """(b,) int64, running numbers of this rank's draws at a step; no two draws of a run share one.

        The ranks take turns, so that together they see the same batch at any world size.
        """
        if step < 0 or not 0 <= rank < world_size:
            raise ValueError(
                f"step={step}, rank={rank}, world_size={world_size}: expected 0 <= rank < world_size"
            )
        return torch.arange(step * self.batch_size + rank, (step + 1) * self.batch_size, world_size)

    def samples(self, step: int, rank: int = 0, world_size: int = 1) -> Tensor:
        """(b,) int64, sample ids of this rank at a step."""
        draw = self.draws(step, rank, world_size)
        epoch, place = draw // self.num_samples, draw % self.num_samples
        return permuted(place, self.num_samples, Key(self.seed).fold("plan"), epoch)
