"""Motions that no take has, made of those that the takes have: for tokenizers, which should code any motion.

They carry no caption: an arm that punches over legs that walk is no action of the corpus.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tokenizers_vq.contract import Key
from tokenizers_vq.contract.motion import Skeleton
from tokenizers_vq.contract.quaternion import multiply

LIMBS = ("chest", "right_hip", "right_shoulder", "left_hip", "left_shoulder")
"""Joints that a part of the body hangs on: trunk with head, legs and arms."""

_TAKEN = 0.5  # chance of each limb of a mixed sample to come from elsewhere


def mix_limbs(
    poses_BTP: Tensor, others_LBTP: Tensor, share: float, key: Key, sample_id_B: Tensor, skeleton: Skeleton
) -> Tensor:
    """Motions with some limbs of others; root and path stay.

    Args:
        poses_BTP: P = 3 + 4 J, see Motion.poses.
        others_LBTP: for each of LIMBS the motions that it may come from.
        share: of the samples that are mixed; each limb of these comes from the others half of the time.
        key: seed and step.
        sample_id_B: int64; a sample's limbs depend on the key and its own id alone.
        skeleton: of all motions.

    Returns:
        (B, T, P).
    """
    draw_BL = key.fold("limbs").uniform(sample_id_B[:, None], torch.arange(1 + len(LIMBS)))
    is_taken_BL = (draw_BL[:, 1:] < _TAKEN) & (draw_BL[:, :1] < share)
    limb_J = limb_of_joints(skeleton)
    is_taken_BJ = is_taken_BL[:, limb_J.clamp(min=0)] & (limb_J >= 0)
    # Which motion each number of a sample comes from; 0 is its own.
    source_BJ = torch.where(is_taken_BJ, limb_J + 1, 0)
    source_BP = torch.nn.functional.pad(source_BJ.repeat_interleave(4, dim=1), (3, 0))
    all_LBTP = torch.cat([poses_BTP[None], others_LBTP])
    return all_LBTP.gather(0, source_BP[None, :, None].expand(1, *poses_BTP.shape))[0]


def limb_of_joints(skeleton: Skeleton) -> Tensor:
    """(J,) int64, the nearest of LIMBS that each joint hangs on; -1 for the root."""
    limb: list[int] = []
    for name, parent in zip(skeleton.names, skeleton.parents):
        limb.append(LIMBS.index(name) if name in LIMBS else limb[parent] if parent >= 0 else -1)
    return torch.tensor(limb)


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
