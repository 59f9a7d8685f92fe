"""Linear biases (Press et al., "Train short, test long", 2022), both ways as in MosaicBERT."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from maskmm.nn.bias.base import PositionBias, differences
from maskmm.nn.config import PositionSource
from maskmm.nn.coordinates import coordinates
from maskmm.sequence import TokenSequence


class Alibi(PositionBias):
    """-slope * distance, with a fixed slope for each head; distances along several axes are summed.

    Args:
        num_heads: H.
        source: what distances are counted in.
    """

    slope: Tensor

    def __init__(self, num_heads: int, source: PositionSource) -> None:
        super().__init__()
        self.source = source
        self.register_buffer("slope", torch.tensor(alibi_slopes(num_heads)), persistent=False)

    def place(self, sequence: TokenSequence) -> Tensor:
        """(N, A) coordinates."""
        return coordinates(sequence, self.source)

    def values_table(self) -> Tensor:
        """(1, H) slopes."""
        return self.slope[None]

    @classmethod
    def values(cls, place_q: Tensor, place_k: Tensor, table: Tensor, numbers: Sequence[int]) -> Tensor:
        """See `PositionBias.values`."""
        distance = differences(place_q, place_k).abs().sum(dim=-1)
        return -table[0, :, None, None] * distance.unsqueeze(-3)

    @classmethod
    def table_gradient(
        cls, grad: Tensor, place_q: Tensor, place_k: Tensor, table: Tensor, numbers: Sequence[int]
    ) -> Tensor:
        """Slopes are fixed."""
        return torch.zeros_like(table)


def alibi_slopes(num_heads: int) -> list[float]:
    """2^(-8 i / H) for i = 1 .. H; other than powers of two take the smaller power's, then every other of twice it."""
    power = 1 << int(math.log2(num_heads))
    slopes = [2.0 ** (-8.0 * (i + 1) / power) for i in range(power)]
    between = [2.0 ** (-4.0 * (i + 1) / power) for i in range(0, 2 * power, 2)]
    return slopes + between[: num_heads - power]
