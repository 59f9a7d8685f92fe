"""Films that come in pieces: regrouped so that every piece ends with a token."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from tokenizers_vq.checks import check_range
from tokenizers_vq.contract import TokenSpec
from tokenizers_vq.video.frames import FrameGrid


def frame_pieces(pieces: Iterable[Tensor], grid: FrameGrid) -> Iterator[Tensor]:
    """Frames (1, C, T, H, W) float32 in [-1, 1]: 1 + k stride of them first, then k stride, the last frame held.

    None is longer than the longest video that the tokenizer takes whole.

    Args:
        pieces: (T, C, H, W) float in [0, 1] each, of any lengths.
        grid: what is expected.

    Raises:
        ValueError: a piece of a wrong type, dtype or shape, NaN or out-of-range values; no pieces.
    """
    waiting: Tensor | None = None
    lead = 1  # frames of the first token, before anything is given out
    for piece in pieces:
        grid.check_frames(piece, "a piece of a film")
        if piece.ndim != 4:
            raise ValueError(f"a piece of a film of shape {tuple(piece.shape)}, expected (T, C, H, W)")
        check_range(piece, 0.0, 1.0, "video values", "give floats in [0, 1] (divide bytes by 255)")
        frames = piece.float() * 2 - 1
        waiting = frames if waiting is None else torch.cat([waiting, frames])
        ready = lead + (len(waiting) - lead) // grid.stride * grid.stride
        while ready > 0:
            count = min(ready, lead + (grid.max_tokens - lead) * grid.stride)
            yield _as_batch(waiting[:count])
            waiting, ready, lead = waiting[count:], ready - count, 0
    if waiting is None:
        raise ValueError("a film without pieces; expected at least one frame")
    if len(waiting):
        yield _as_batch(torch.cat([waiting, waiting[-1:].expand(grid.stride - len(waiting), -1, -1, -1)]))


def code_pieces(pieces: Iterable[Tensor], spec: TokenSpec) -> Iterator[Tensor]:
    """Codes (n, Y, X, Q) int64, checked.

    Raises:
        ValueError: a piece that does not fit the spec; no pieces.
    """
    is_empty = True
    for piece in pieces:
        spec.check_codes(piece, "a piece of a film's codes")
        is_empty = False
        yield piece.long()
    if is_empty:
        raise ValueError("codes of a film without pieces; expected at least one token along time")


def _as_batch(x_TCHW: Tensor) -> Tensor:
    return x_TCHW.transpose(0, 1)[None]
