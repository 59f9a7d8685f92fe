"""Unit quaternions (w, x, y, z) in the last axis; the rotation of q and of -q is the same."""

from __future__ import annotations

import torch
from torch import Tensor


def multiply(first: Tensor, second: Tensor) -> Tensor:
    """The rotation that does `second` and then `first`: (..., 4) each, shapes broadcast."""
    w1, x1, y1, z1 = first.unbind(-1)
    w2, x2, y2, z2 = second.unbind(-1)
    return torch.stack(
        [
            w1 * w2 - x1 * x2 - y1 * y2 - z1 * z2,
            w1 * x2 + x1 * w2 + y1 * z2 - z1 * y2,
            w1 * y2 - x1 * z2 + y1 * w2 + z1 * x2,
            w1 * z2 + x1 * y2 - y1 * x2 + z1 * w2,
        ],
        dim=-1,
    )


def rotate(rotation: Tensor, vector: Tensor) -> Tensor:
    """Vectors (..., 3) turned by rotations (..., 4), shapes broadcast."""
    shape = torch.broadcast_shapes(rotation.shape[:-1], vector.shape[:-1])
    axis, vector = rotation[..., 1:].expand(*shape, 3), vector.expand(*shape, 3)
    twice = 2.0 * torch.linalg.cross(axis, vector)
    return vector + rotation[..., :1] * twice + torch.linalg.cross(axis, twice)


def slerp(start: Tensor, stop: Tensor, share: Tensor) -> Tensor:
    """The shorter way from one rotation to another at constant speed (Shoemake, 1985).

    Args:
        start: (..., 4).
        stop: (..., 4).
        share: (...) in [0, 1]; 0 is `start`.

    Returns:
        (..., 4), of unit length.
    """
    cosine = (start * stop).sum(-1, keepdim=True)
    stop = torch.where(cosine < 0.0, -stop, stop)
    angle = torch.acos(cosine.abs().clamp(max=1.0))
    share = share[..., None]
    # Where the two are nearly one, sin(angle) vanishes and the straight line is the arc.
    is_near = angle < 1e-4
    sine = torch.where(is_near, 1.0, torch.sin(angle))
    first = torch.where(is_near, 1.0 - share, torch.sin((1.0 - share) * angle) / sine)
    second = torch.where(is_near, share, torch.sin(share * angle) / sine)
    mixed = first * start + second * stop
    return mixed / mixed.norm(dim=-1, keepdim=True)
