"""Motions that no take has, made of those that the takes have: for tokenizers, which should code any motion.

They carry no caption: an arm that punches over legs that walk is no action of the corpus.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tokenizers_vq.contract import Key
from tokenizers_vq.contract.motion import Skeleton
from tokenizers_vq.contract.quaternion import multiply

_JOIN = ("chest",)  # joints from which on the body may be another's


def mix_bodies(poses_BTP: Tensor, others_BTP: Tensor, is_mixed_B: Tensor, skeleton: Skeleton) -> Tensor:
    """The legs and the path of one motion, the chest and all that hangs on it of another.

    Args:
        poses_BTP: P = 3 + 4 J, see Motion.poses.
        others_BTP: of the same shape.
        is_mixed_B: bool, where to mix; the others stay as they are.
        skeleton: of both.

    Returns:
        (B, T, P).
    """
    is_upper = [name in _JOIN for name in skeleton.names]
    for joint, parent in enumerate(skeleton.parents):
        is_upper[joint] |= parent >= 0 and is_upper[parent]
    is_taken_P = torch.tensor([False] * 3 + [upper for upper in is_upper for _ in range(4)])
    return torch.where(is_mixed_B[:, None, None] & is_taken_P, others_BTP, poses_BTP)


def bend_joints(poses_BTP: Tensor, size: float, key: Key, sample_id_B: Tensor) -> Tensor:
    """Every joint turned by a little more, by an amount that changes evenly over the window.

    Args:
        poses_BTP: P = 3 + 4 J, see Motion.poses.
        size: standard deviation of the turns about each axis, radians, at either end of the window.
        key: seed and step.
        sample_id_B: int64; a sample's turns depend on the key and its own id alone.

    Returns:
        (B, T, P), still with unit quaternions.
    """
    batch, length, width = poses_BTP.shape
    joints = (width - 3) // 4
    counters = torch.arange(2 * joints * 3).view(2, joints, 3)
    draw = key.fold("bend").uniform(sample_id_B[:, None, None, None], counters)
    # Uniform of this width has the deviation asked for, and no tails that break a knee.
    ends_B2J3 = (2.0 * draw.float() - 1.0) * 3.0**0.5 * size
    share_T11 = torch.linspace(0.0, 1.0, length)[:, None, None]
    half_BTJ3 = torch.lerp(ends_B2J3[:, :1], ends_B2J3[:, 1:], share_T11) / 2.0
    turn = torch.nn.functional.normalize(
        torch.cat([torch.ones(batch, length, joints, 1), half_BTJ3], -1), dim=-1
    )
    turned = multiply(turn, poses_BTP[..., 3:].unflatten(-1, (joints, 4)))
    turned = torch.nn.functional.normalize(turned, dim=-1)
    return torch.cat([poses_BTP[..., :3], turned.flatten(2)], dim=-1)
