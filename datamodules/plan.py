"""Which samples at which step: a pure function, so that resume needs nothing but the step."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from tokenizers_vq.contract import Key

_ROUNDS = 8
_ODD = -7046029254386353131  # 2**64 divided by the golden ratio, as a signed number


def permuted(index: Tensor, size: int, key: Key, epoch: Tensor) -> Tensor:
    """Where a shuffle of 0..size-1 sends each index, without making the shuffle.

    A generalised Feistel network on a grid of a x b >= size cells, walked until it falls below `size` (Black and
    Rogaway, "Ciphers with arbitrary finite domains", 2002). It costs the same for ten samples and for ten billion.

    Args:
        index: (B,) int64 in [0, size).
        size: numbers that are shuffled.
        key: names the family of shuffles.
        epoch: (B,) int64, which shuffle of the family.

    Returns:
        (B,) int64 in [0, size); a bijection for each epoch.
    """
    height = math.isqrt(size - 1) + 1
    width = -(-size // height)
    round_key = key.bits(epoch[:, None], torch.arange(_ROUNDS)).unbind(dim=1)
    value = index
    is_outside = torch.ones_like(index, dtype=torch.bool)
    while bool(is_outside.any()):
        row, column = value % height, value // height
        for turn in range(0, _ROUNDS, 2):
            row = (row + _scramble(column, round_key[turn])) % height
            column = (column + _scramble(row, round_key[turn + 1])) % width
        value = torch.where(is_outside, row + height * column, value)
        is_outside = value >= size
    return value


def _scramble(value: Tensor, key: Tensor) -> Tensor:
    """31 bits that depend on all of value and key."""
    mixed = (value ^ key) * _ODD
    return ((mixed ^ (mixed >> 29)) * _ODD >> 33) & 0x7FFFFFFF


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
        end = (step + 1) * self.batch_size
        return torch.arange(min(step * self.batch_size + rank, end), end, world_size)

    def samples(self, step: int, rank: int = 0, world_size: int = 1) -> Tensor:
        """(b,) int64, sample ids of this rank at a step."""
        return self.of_draws(self.draws(step, rank, world_size))

    def of_draws(self, draw: Tensor) -> Tensor:
        """(b,) int64, sample ids of running numbers (b,) int64."""
        epoch, place = draw // self.num_samples, draw % self.num_samples
        return permuted(place, self.num_samples, Key(self.seed).fold("plan"), epoch)
