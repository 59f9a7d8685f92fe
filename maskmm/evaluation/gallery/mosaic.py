"""Many small pictures in one."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Picture = NDArray[np.float32]

_PAPER = np.array([1.0, 1.0, 1.0], dtype=np.float32)
_WRONG = np.array([0.9, 0.1, 0.1], dtype=np.float32)
_GAP = 3


def picture(image: Tensor) -> Picture:
    """(H, W, 3) float32 in [0, 1] of an image (1 or 3, H, W)."""
    values = image.detach().float().cpu().clamp(0, 1).numpy()
    return np.ascontiguousarray(np.broadcast_to(values, (3, *values.shape[1:])).transpose(1, 2, 0))


def framed(tile: Picture, is_right: bool) -> Picture:
    """The tile with a margin of _GAP pixels: white, or holding a red line where the judge says otherwise."""
    height, width, _ = tile.shape
    margin = np.broadcast_to(_PAPER, (height + 2 * _GAP, width + 2 * _GAP, 3)).copy()
    if not is_right:
        margin[1:-1, 1:-1] = _WRONG
    margin[_GAP:-_GAP, _GAP:-_GAP] = tile
    return margin


def mosaic(
    images: Tensor | Sequence[Tensor], num_columns: int, is_right: NDArray[np.bool_] | None = None
) -> Picture:
    """(H', W', 3): images (n, C, H, W) row by row; a red frame around those that are not right.

    Raises:
        ValueError: no images.
    """
    if not len(images):
        raise ValueError("a mosaic of no images; give at least one")
    marks = np.ones(len(images), dtype=bool) if is_right is None else is_right
    tiles = [framed(picture(image), bool(mark)) for image, mark in zip(images, marks, strict=True)]
    num_rows = math.ceil(len(tiles) / num_columns)
    tiles += [np.broadcast_to(_PAPER, tiles[0].shape)] * (num_rows * num_columns - len(tiles))
    rows = [np.concatenate(tiles[r * num_columns : (r + 1) * num_columns], axis=1) for r in range(num_rows)]
    return np.concatenate(rows, axis=0)


def stacked(*bands: Picture) -> Picture:
    """Pictures of one width, one above the other."""
    return np.concatenate(bands, axis=0)


def hide_rows(images: Tensor, rows: tuple[int, int], shade: float = 0.45) -> Tensor:
    """Images (n, C, H, W) with pixel rows `rows[0]` to `rows[1] - 1` painted over in grey."""
    hidden = images.clone()
    hidden[..., rows[0] : rows[1], :] = shade
    return hidden
