"""What a tokenizer emits: the geometry of its tokens, frozen, comparable and serialisable."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class TokenSpec:
    """Geometry of the tokens of one tokenizer.

    Args:
        codebook_size: number of codes in each codebook; 0 (and num_codebooks 0) where positions have continuous
            inputs alone, which are given and never asked for (frozen embeddings, pixels).
        num_codebooks: codes at one position (residual levels, factorised sub-ids).
        axes: names of the position axes, slowest first, e.g. ("y", "x") or ("t",); () for a single label token.
        grid: tokens along each axis; None marks the one axis whose length varies. Default: one varying axis.
        max_length: largest length of the varying axis, in tokens.
        stride: media samples (pixels, audio samples, frames) that one token covers along each axis; may be empty.
        rate: media samples per second along the "t" axis.
        first_stride: media samples that the first token along "t" covers, where they are fewer than `stride` tells of
            the others (1 where the first frame of a video stands alone).

    Raises:
        ValueError: where the numbers contradict each other.
    """

    codebook_size: int
    num_codebooks: int = 1
    axes: tuple[str, ...] = ()
    grid: tuple[int | None, ...] | None = None
    max_length: int | None = None
    stride: tuple[float, ...] = ()
    rate: float | None = None
    first_stride: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "axes", tuple(self.axes))
        grid = (None,) * len(self.axes) if self.grid is None else tuple(self.grid)
        object.__setattr__(self, "grid", grid)
        object.__setattr__(self, "stride", tuple(float(s) for s in self.stride))
        self._check()

    def _check(self) -> None:
        if min(self.codebook_size, self.num_codebooks) < 1 and (self.codebook_size, self.num_codebooks) != (
            0,
            0,
        ):
            raise ValueError(
                f"codebook_size={self.codebook_size} and num_codebooks={self.num_codebooks} must be at least 1, or "
                "both 0 for continuous inputs without codes"
            )
        if len(set(self.axes)) != len(self.axes):
            raise ValueError(f"axes={self.axes} names an axis twice; give each axis its own name")
        if len(self._grid) != len(self.axes):
            raise ValueError(
                f"grid={self.grid} has {len(self._grid)} entries for axes={self.axes}; give one each"
            )
        if any(g is not None and g < 1 for g in self._grid):
            raise ValueError(f"grid={self.grid} must hold positive sizes (None for the varying axis)")
        varying = sum(g is None for g in self._grid)
        if varying > 1:
            raise ValueError(f"grid={self.grid} has {varying} varying axes; at most one may be None")
        if varying == 1 and (self.max_length is None or self.max_length < 1):
            raise ValueError(f"max_length={self.max_length}: a varying axis needs a positive max_length")
        if varying == 0 and self.max_length is not None:
            raise ValueError(f"max_length={self.max_length} given, but grid={self.grid} has no varying axis")
        if self.stride and len(self.stride) != len(self.axes):
            raise ValueError(f"stride={self.stride} has {len(self.stride)} entries for axes={self.axes}")
        if not all(s > 0 for s in self.stride):
            raise ValueError(f"stride={self.stride} must be positive: media samples that one token covers")
        if self.rate is not None and not self.rate > 0:
            raise ValueError(f"rate={self.rate} must be positive: media samples per second")
        if self.first_stride is not None and not ("t" in self.axes and self.stride and self.first_stride > 0):
            raise ValueError(
                f"first_stride={self.first_stride}, axes={self.axes}, stride={self.stride}: expected a positive "
                "number, a 't' axis and a stride"
            )

    @property
    def _grid(self) -> tuple[int | None, ...]:
        assert self.grid is not None
        return self.grid

    @property
    def has_codes(self) -> bool:
        """False where positions have continuous inputs alone."""
        return self.num_codebooks > 0

    @property
    def is_fixed(self) -> bool:
        """True where every sample has the same number of tokens."""
        return all(g is not None for g in self._grid)

    @property
    def max_tokens(self) -> int:
        """Largest number of positions in one segment."""
        return math.prod(self.max_length if g is None else g for g in self._grid)  # type: ignore[misc]

    def shape(self, length: int | None = None) -> tuple[int, ...]:
        """Grid of one segment; `length` fills the varying axis.

        Raises:
            ValueError: where a varying axis lacks its length, or the length is out of range.
        """
        if self.is_fixed:
            return tuple(g for g in self._grid if g is not None)
        assert self.max_length is not None
        if length is None or not 1 <= length <= self.max_length:
            raise ValueError(f"length={length}: the varying axis takes 1 to {self.max_length} tokens")
        return tuple(length if g is None else g for g in self._grid)

    def length_of(self, shape: Sequence[int]) -> int:
        """Length along the varying axis of a segment of this shape (1 where nothing varies)."""
        return next((int(s) for s, g in zip(shape, self._grid) if g is None), 1)

    def check_shape(self, shape: Sequence[int], name: str) -> None:
        """Raise ValueError unless a segment of this shape fits the spec."""
        expected = self._grid
        is_right = len(shape) == len(expected) and all(g is None or g == s for s, g in zip(shape, expected))
        if not is_right:
            raise ValueError(
                f"{name}: tokens of shape {tuple(shape)}, expected {expected} over axes {self.axes}"
            )
        length = self.length_of(shape)
        if self.max_length is not None and not 1 <= length <= self.max_length:
            raise ValueError(f"{name}: {length} tokens on the varying axis, expected 1 to {self.max_length}")

    def check_codes(self, codes: Tensor, name: str) -> None:
        """Raise ValueError unless codes (*shape, Q) are integers of the right shape and range."""
        if codes.dtype not in (torch.int64, torch.int32, torch.int16, torch.uint8):
            raise ValueError(f"{name}: codes of dtype {codes.dtype}, expected integers")
        if codes.ndim != len(self.axes) + 1 or codes.shape[-1] != self.num_codebooks:
            raise ValueError(
                f"{name}: codes of shape {tuple(codes.shape)}, expected {(*self._grid, self.num_codebooks)}"
            )
        self.check_shape(codes.shape[:-1], name)
        if codes.numel() and (int(codes.min()) < 0 or int(codes.max()) >= self.codebook_size):
            raise ValueError(
                f"{name}: codes from {int(codes.min())} to {int(codes.max())}, expected 0 to {self.codebook_size - 1}"
            )

    def tokens_of_box(self, start: Sequence[float], stop: Sequence[float], shape: Sequence[int]) -> Tensor:
        """Which tokens a box of media touches.

        Args:
            start, stop: box corners in media samples along each axis, half-open.
            shape: grid of the segment.

        Returns:
            bool tensor of `shape`: True where the token overlaps the box at all.

        Raises:
            ValueError: where the spec has no stride, the box is empty, or the shape does not fit the spec.
        """
        if not self.stride:
            raise ValueError("this spec has no stride, so media cannot be mapped to tokens; give `stride`")
        if not len(start) == len(stop) == len(self.axes) or not all(a < b for a, b in zip(start, stop)):
            raise ValueError(
                f"box {tuple(start)} to {tuple(stop)}: expected start < stop on axes {self.axes}"
            )
        self.check_shape(shape, "segment")
        is_inside = torch.ones(tuple(shape), dtype=torch.bool)
        for axis, (low, high, stride) in enumerate(zip(start, stop, self.stride)):
            edges = torch.arange(shape[axis] + 1) * stride
            if self.first_stride is not None and self.axes[axis] == "t":
                edges[1:] += self.first_stride - stride
            is_hit = (edges[:-1] < high) & (edges[1:] > low)
            is_inside &= is_hit.view([-1 if i == axis else 1 for i in range(len(shape))])
        return is_inside

    def tokens_of_span(self, start_s: float, stop_s: float, shape: Sequence[int]) -> Tensor:
        """Which tokens a span of seconds on the "t" axis touches: bool tensor of `shape`."""
        if self.rate is None or "t" not in self.axes:
            raise ValueError(f"axes={self.axes}, rate={self.rate}: a time span needs a 't' axis and a rate")
        low = [0.0] * len(self.axes)
        high = [float("inf")] * len(self.axes)
        axis = self.axes.index("t")
        low[axis], high[axis] = start_s * self.rate, stop_s * self.rate
        return self.tokens_of_box(low, high, shape)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready dictionary."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> TokenSpec:
        """Inverse of `to_dict`.

        Raises:
            ValueError: a field this version does not know, or numbers that contradict each other.
        """
        unknown = sorted(set(data) - set(cls.__dataclass_fields__))
        if unknown:
            raise ValueError(f"token spec has unknown fields {unknown}; it may come from another version")
        known: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items()}
        return cls(**known)


@dataclass(frozen=True)
class Modality:
    """A named stream of tokens.

    Args:
        name: e.g. "image"; letters, digits, "_", "-" and "." alone.
        spec: geometry of its tokens.
    """

    name: str
    spec: TokenSpec

    def __post_init__(self) -> None:
        if not self.name or not all(c.isalnum() or c in "_-." for c in self.name):
            raise ValueError(f"modality name {self.name!r}: use letters, digits, '_', '-' and '.'")
