"""Motions as rows of numbers, checked: the root, then a quaternion for each joint."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from tokenizers_vq.contract.motion import Motion, Skeleton

_UNIT = 1e-3  # how far a quaternion's length may be from 1
_BONE = 1e-5  # metres, the same for two skeletons: files round


def check_unit(poses_BTP: Tensor) -> None:
    """Raise ValueError unless the quaternions of poses (B, T, 3 + 4 J) are of unit length."""
    size = poses_BTP[..., 3:].unflatten(-1, (-1, 4)).norm(dim=-1)
    worst = float((size - 1.0).abs().max())
    if worst > _UNIT:
        raise ValueError(
            f"quaternions differ from unit length by up to {worst:g}, expected at most {_UNIT:g}; divide each by "
            "its norm"
        )


def check_motion(motion: Any, skeleton: Skeleton, rate: float) -> None:
    """Raise ValueError unless this is a motion of this skeleton and rate."""
    if not isinstance(motion, Motion):
        raise ValueError(
            f"motion of type {type(motion).__name__}, expected tokenizers_vq.contract.motion.Motion"
        )
    if abs(motion.rate - rate) > 1e-4 * rate:
        raise ValueError(f"a motion of {motion.rate:g} poses a second, expected {rate:g}; resample it first")
    found = motion.skeleton
    if (found.names, found.parents) != (skeleton.names, skeleton.parents):
        raise ValueError(
            f"a motion of the skeleton {found.names} on {found.parents}, expected {skeleton.names} on "
            f"{skeleton.parents}; bring it to the tokenizer's skeleton first, or train a tokenizer for this one"
        )
    gap = max(abs(a - b) for one, other in zip(found.offsets, skeleton.offsets) for a, b in zip(one, other))
    if gap > _BONE:
        raise ValueError(
            f"a motion whose joints' offsets differ by up to {gap:g} m from the tokenizer's skeleton, expected at most "
            f"{_BONE:g} m; bring it to that skeleton first, or train a tokenizer for this one"
        )
