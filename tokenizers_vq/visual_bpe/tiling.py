"""Tokens in raster order back to the rectangles they are: where each lies follows from those before it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Tiling:
    """Where tokens lie.

    Attributes:
        top, left: (B, L) int64, upper left cell of each token.
        height, width: (B, L) int64, what there is room for; 0 beyond the end of a full grid.
        is_exact: (B,) bool, True where every token has room, and together they fill the grid.
    """

    top: Tensor
    left: Tensor
    height: Tensor
    width: Tensor
    is_exact: Tensor


def place(height_BL: Tensor, width_BL: Tensor, grid: tuple[int, int]) -> Tiling:
    """Lay rectangles one after the other, each at the first free cell in raster order.

    The loop runs over places in the sequence, all samples at once: a rectangle's place depends on those before it.

    Args:
        height_BL, width_BL: sides of each rectangle; 0 for places beyond a sample's end.
        grid: (H, W).
    """
    rows, columns = grid
    # How many cells are filled in each column: without holes, as every rectangle begins at the lowest free row.
    filled = torch.zeros(len(height_BL), columns, dtype=torch.int64)
    column = torch.arange(columns)
    steps = []
    for high, wide in zip(height_BL.T, width_BL.T):
        first = (filled * columns + column).amin(1)
        top, left = first // columns, first % columns
        is_blocked = (column >= left[:, None]) & (filled != top[:, None])
        room = torch.where(is_blocked, column, columns).amin(1) - left
        fits_high = torch.minimum(high, rows - top)
        fits_wide = torch.minimum(wide, room).where(fits_high > 0, 0)
        is_under = (column >= left[:, None]) & (column < (left + fits_wide)[:, None])
        filled += is_under * fits_high[:, None]
        steps.append((top, left, fits_high, fits_wide))
    top, left, fits_high, fits_wide = (torch.stack(values, dim=1) for values in zip(*steps))
    has_room = ((fits_high == height_BL) & (fits_wide == width_BL)).all(1)
    return Tiling(top, left, fits_high, fits_wide, has_room & (filled == rows).all(1))
