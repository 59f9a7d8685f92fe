"""Randomness that is hashed, not streamed: a value depends on its key and counters alone.

Masks and samples are therefore the same at any batch size, packing or number of workers. The mixer is the
finaliser of SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import torch
from torch import Tensor

_GOLDEN = -7046029254386353131  # 0x9E3779B97F4A7C15 as a signed 64-bit integer
_MIX_1 = -4658895280553007687  # 0xBF58476D1CE4E5B9
_MIX_2 = -7723592293110705685  # 0x94D049BB133111EB
_TWO_52 = float(1 << 52)


def _shift_right(x: Tensor, bits: int) -> Tensor:
    """Logical right shift of int64 (torch's own is arithmetic)."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def _mix(x: Tensor) -> Tensor:
    x = (x ^ _shift_right(x, 30)) * _MIX_1
    x = (x ^ _shift_right(x, 27)) * _MIX_2
    return x ^ _shift_right(x, 31)


def _as_counter(value: Tensor | int, like: torch.device) -> Tensor:
    if isinstance(value, Tensor):
        return value.to(torch.int64)
    return torch.full((), value, dtype=torch.int64, device=like)  # a copy from the host would wait for a GPU


@torch.compiler.assume_constant_result  # compiled graphs hold the number; they cannot look into zlib
def _stream(text: str) -> int:
    data = text.encode()
    return zlib.crc32(data) | (zlib.adler32(data) << 31)


@dataclass(frozen=True)
class Key:
    """Names one family of random numbers.

    Args:
        seed: the user's seed.
        step: training step, epoch or decoding step.
        stream: separates uses of one seed; make it with `fold`.
    """

    seed: int
    step: int = 0
    stream: int = 0

    def fold(self, name: str | int) -> Key:
        """A key of its own for a named use, e.g. `key.fold("ratio")`."""
        return Key(self.seed, self.step, _stream(f"{self.stream}/{name}"))

    def at(self, step: int) -> Key:
        """The same family at another step."""
        return Key(self.seed, step, self.stream)

    def bits(self, *counters: Tensor | int) -> Tensor:
        """64 hashed bits for each broadcast combination of counters.

        Args:
            counters: int tensors or ints that broadcast together, e.g. sample_id (B, 1), position (1, N).

        Returns:
            int64 tensor of the broadcast shape.
        """
        device = next((c.device for c in counters if isinstance(c, Tensor)), torch.device("cpu"))
        state = torch.zeros((), dtype=torch.int64, device=device)
        for counter in (self.seed, self.stream, self.step, *counters):
            state = _mix(state * 5 + _GOLDEN + _mix(_as_counter(counter, device) + _GOLDEN))
        return state

    def uniform(self, *counters: Tensor | int) -> Tensor:
        """Uniform float64 values in the open interval (0, 1), one for each broadcast combination."""
        # 52 bits, not 53: then x + 0.5 is exact and can never round up to 1.
        return (_shift_right(self.bits(*counters), 12).to(torch.float64) + 0.5) / _TWO_52

    def integers(self, high: Tensor | int, *counters: Tensor | int) -> Tensor:
        """Uniform int64 values in [0, high)."""
        scaled = self.uniform(*counters) * high
        return scaled.to(torch.int64)

    def gumbel(self, *counters: Tensor | int) -> Tensor:
        """Standard Gumbel float64 values."""
        return -torch.log(-torch.log(self.uniform(*counters)))
