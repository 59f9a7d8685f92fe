"""Editing: media of which only a part is made anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tokenizers_vq.contract import Codes, TokenSpec


@dataclass(frozen=True)
class Edit:
    """A batch of media, and which part of each is to be filled in.

    Every token that touches the part is generated; all others keep their codes. Around the part, the decoded media
    is the tokenizer's reconstruction of the original.

    Args:
        media: batch of media of the target's kind; or give `codes`.
        codes: (B, *grid, Q) int64 or a list of (*shape, Q).
        box: (start, stop) corners in media samples (pixels) along each axis, half-open: ((y0, x0), (y1, x1)).
        span: (start, stop) in seconds, for modalities with a "t" axis and a rate.
        is_unknown: which tokens: bool (*grid) for all samples, (B, *grid), or a list of B tensors (*shape).

    Raises:
        ValueError: not exactly one of media and codes, and one of box, span and is_unknown.
    """

    media: Any = None
    codes: Codes | None = None
    box: tuple[Sequence[float], Sequence[float]] | None = None
    span: tuple[float, float] | None = None
    is_unknown: Tensor | list[Tensor] | None = None

    def __post_init__(self) -> None:
        if (self.media is None) == (self.codes is None):
            raise ValueError("an Edit needs either media or codes, and not both")
        if sum(part is not None for part in (self.box, self.span, self.is_unknown)) != 1:
            raise ValueError("an Edit needs exactly one of box, span and is_unknown")
        if self.box is not None and (
            len(self.box) != 2 or not all(isinstance(c, Sequence) for c in self.box)
        ):
            raise ValueError(f"box={self.box}, expected (start, stop) corners such as ((0, 0), (16, 32))")

    @property
    def batch(self) -> Any:
        """The media, or the codes."""
        return self.media if self.codes is None else self.codes

    def unknown_tokens(self, sample: int, shape: tuple[int, ...], spec: TokenSpec, name: str) -> Tensor:
        """bool tensor of `shape`: the tokens of one sample that are made anew.

        Raises:
            ValueError: a part outside the media, a pattern of another shape, or nothing to fill.
        """
        if self.box is not None:
            is_unknown = spec.tokens_of_box(self.box[0], self.box[1], shape)
        elif self.span is not None:
            is_unknown = spec.tokens_of_span(self.span[0], self.span[1], shape)
        else:
            is_unknown = self._pattern(sample, len(shape))
            if is_unknown.dtype != torch.bool or tuple(is_unknown.shape) != shape:
                raise ValueError(
                    f"is_unknown of {name!r} is {is_unknown.dtype} of shape {tuple(is_unknown.shape)}, expected bool "
                    f"of shape {shape}"
                )
        if not bool(is_unknown.any()):
            raise ValueError(
                f"the edit of {name!r} touches no token of sample {sample} (tokens of shape {shape}); give a part "
                "inside the media"
            )
        return is_unknown

    def _pattern(self, sample: int, num_axes: int) -> Tensor:
        assert self.is_unknown is not None
        is_shared = isinstance(self.is_unknown, Tensor) and self.is_unknown.ndim == num_axes
        if not is_shared and len(self.is_unknown) != len(self.batch):
            raise ValueError(
                f"is_unknown holds {len(self.is_unknown)} patterns for {len(self.batch)} samples; give one for "
                "each, or one for all"
            )
        pattern = self.is_unknown if is_shared else self.is_unknown[sample]
        return torch.as_tensor(pattern).cpu()
