"""Stick figures, for previews."""

from __future__ import annotations

import torch
from torch import Tensor

_METRES = 2.2  # shown across
_FLOOR = 0.2  # metres shown below the ground
_LINE = 0.025  # half the width of a line, metres


def draw_joints(joints_TJ3: Tensor, parents: tuple[int, ...], size: int = 96) -> Tensor:
    """Black lines from each joint to its parent, seen from the side at an angle.

    Args:
        joints_TJ3: metres, ahead, from the ground under the root.
        parents: of the J joints, -1 for the root.
        size: pixels of a side.

    Returns:
        (T, 1, size, size) float32 in [0, 1]; the ground is a grey line.
    """
    across_TJ = 0.8 * joints_TJ3[..., 0] + 0.6 * joints_TJ3[..., 2]
    points_TJ2 = torch.stack([across_TJ, joints_TJ3[..., 1]], dim=-1)
    start, stop = points_TJ2[:, list(parents[1:])], points_TJ2[:, 1:]
    steps = (torch.arange(size, device=joints_TJ3.device) + 0.5) / size * _METRES
    columns, rows = steps - _METRES / 2, _METRES - _FLOOR - steps
    pixel_HW2 = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), dim=-1)
    way = (stop - start)[:, :, None, None]
    from_start = pixel_HW2 - start[:, :, None, None]
    along = (from_start * way).sum(-1) / way.square().sum(-1).clamp(min=1e-9)
    gap_THW = (from_start - along.clamp(0, 1)[..., None] * way).norm(dim=-1).amin(dim=1)
    pixel = _METRES / size
    ink_THW = ((_LINE - gap_THW) / pixel + 0.5).clamp(0, 1)
    ground_H1 = 0.25 * (rows.abs() < pixel / 2).float()[:, None]
    return (1.0 - torch.maximum(ink_THW, ground_H1))[:, None]
