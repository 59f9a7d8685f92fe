"""Poses as vectors that do not depend on where a body stands and which way it faces, and back.

The layout follows HumanML3D (Guo et al., "Generating Diverse and Natural 3D Human Motions from Text", 2022), with the
root's tilt and the skeleton's own rotations instead of ones solved for, and all rotations in one frame: an error in
the root's then moves the root's own bones alone, not the whole body.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from einops import rearrange
from torch import Tensor

from tokenizers_vq.contract.motion import Motion, Skeleton
from tokenizers_vq.contract.quaternion import multiply, rotate
from tokenizers_vq.motion.features import MotionFeatures, pose_groups
from tokenizers_vq.motion.heading import heading, wrapped
from tokenizers_vq.motion.padding import hold_last, pad_rows
from tokenizers_vq.motion.poses import check_motion, check_unit
from tokenizers_vq.motion.rotations import (
    against_parents,
    joint_positions,
    matrix_of,
    matrix_of_six,
    placed,
    quaternion_of,
    six_of,
    yaw_matrix,
)

_CONTACT_HEIGHT = 0.12  # metres of a foot joint above the ground
_CONTACT_SPEED = 0.5  # metres a second


class PoseFeatures(MotionFeatures):
    """Features of T poses of a skeleton of J joints, one row a pose; "ahead" is the frame that turns with the heading.

    | group | numbers | what |
    |---|---|---|
    | turn | 1 | turning of the heading until the next pose, radians a second |
    | velocity | 2 | of the root along x and z ahead until the next pose, metres a second |
    | height | 1 | of the root above the ground, metres |
    | positions | 3 (J - 1) | of the other joints ahead, from the ground under the root, metres |
    | rotations | 6 J | two columns of each joint's rotation ahead |
    | velocities | 3 J | of the joints in the world until the next pose, turned ahead, metres a second |
    | contacts | number of feet | 1 where a foot is near the ground and slow, else 0 |

    The last pose repeats the velocities of the one before. The place and heading of the first pose are not kept:
    `canonical` moves a motion to where the inverses put it, the root over the origin and the heading along x.

    Args:
        skeleton: of all motions, or a mapping of its fields.
        rate: poses a second.
        feet: names of the joints that touch the ground.

    Raises:
        ValueError: a mapping that is no skeleton, a rate that is not positive, or a foot that is no joint.
    """

    def __init__(
        self, skeleton: Skeleton | dict[str, Any], rate: float = 30.0, feet: Sequence[str] = ()
    ) -> None:
        self.skeleton, self.rate = _skeleton(skeleton), rate
        self.parents = self.skeleton.parents
        if not rate > 0.0:
            raise ValueError(f"rate={rate} poses a second, expected a positive number")
        stray = [name for name in feet if name not in self.skeleton.names]
        if stray:
            raise ValueError(f"feet {stray} are no joints; expected some of {list(self.skeleton.names)}")
        self._feet = [self.skeleton.names.index(name) for name in feet]
        joints = len(self.parents)
        self.groups = pose_groups(joints, rotations=joints, contacts=len(feet))
        # Where joints are counts most; velocities and contacts follow from it.
        self.weights = {"height": 4.0, "positions": 2.0, "velocities": 0.25, "contacts": 0.25}

    def of_media(
        self,
        media: Tensor | Sequence[Any],
        lengths: Tensor | None,
        shortest: int,
        longest: int,
        multiple: int,
    ) -> tuple[Tensor, Tensor]:
        """As MotionFeatures; media are a list of Motion or padded poses (B, T, 3 + 4 J) as Motion.poses has them.

        Raises:
            ValueError: as MotionFeatures; another skeleton, rotations that are not of unit length.
        """
        what = "the root and a quaternion for each joint of the tokenizer's skeleton"
        rows, sizes_B = pad_rows(media, lengths, 3 + 4 * len(self.parents), self._rows, what)
        poses_BTP = hold_last(rows, sizes_B, shortest, longest, multiple)
        check_unit(poses_BTP)
        return self.of_poses(poses_BTP, sizes_B), sizes_B

    def of_poses(self, poses_BTP: Tensor, lengths_B: Tensor) -> Tensor:
        """Features (B, T, width) of poses.

        Args:
            poses_BTP: P = 3 + 4 J: root in metres and unit quaternions, as Motion.poses has them.
            lengths_B: int64, real poses of each row, at least 2; those after are filler, and must repeat the last.
        """
        root_BT3 = poses_BTP[..., :3]
        quaternions_BTJ4 = rearrange(poses_BTP[..., 3:], "b t (j q) -> b t j q", q=4)
        is_real_BT = torch.arange(poses_BTP.shape[1], device=poses_BTP.device) < lengths_B[:, None]
        angle_BT = heading(quaternions_BTJ4[:, :, 0], is_real_BT, self.rate)
        back_BT33 = yaw_matrix(-angle_BT)
        positions_BTJ3, turned = joint_positions(
            root_BT3, matrix_of(quaternions_BTJ4), self.parents, self._offsets(root_BT3)
        )
        ground_BT3 = root_BT3 * root_BT3.new_tensor([1.0, 0.0, 1.0])
        local_BTJ3 = torch.einsum("btac,btjc->btja", back_BT33, positions_BTJ3 - ground_BT3[:, :, None])
        turn_BT = self._until_next(angle_BT, lengths_B, has_turns=True)
        moved_BTJ3 = self._until_next(positions_BTJ3, lengths_B)
        velocities_BTJ3 = torch.einsum("btac,btjc->btja", back_BT33, moved_BTJ3)
        feet_BTN = positions_BTJ3[:, :, self._feet, 1]
        is_still_BTN = moved_BTJ3[:, :, self._feet].norm(dim=-1) < _CONTACT_SPEED
        parts = [
            turn_BT[..., None],
            velocities_BTJ3[:, :, 0, ::2],
            root_BT3[..., 1:2],
            local_BTJ3[:, :, 1:].flatten(2),
            six_of(back_BT33[:, :, None] @ turned).flatten(2),
            velocities_BTJ3.flatten(2),
            ((feet_BTN < _CONTACT_HEIGHT) & is_still_BTN).to(root_BT3),
        ]
        return torch.cat(parts, dim=-1)

    def of_motion(self, motion: Motion) -> Tensor:
        """Features (T, width) of a motion of at least two poses."""
        return self.of_poses(motion.poses[None], torch.tensor([len(motion)], device=motion.root.device))[0]

    def path(self, features_BTF: Tensor) -> tuple[Tensor, Tensor]:
        """Heading (B, T), radians, and root (B, T, 3), metres, from features; the first pose is over the origin."""
        turn_BT = features_BTF[..., 0] / self.rate
        angle_BT = turn_BT.cumsum(dim=1) - turn_BT
        across, along = features_BTF[..., self.groups["velocity"]].unbind(-1)
        flat_BT3 = torch.stack([across, torch.zeros_like(across), along], dim=-1) / self.rate
        step_BT3 = torch.einsum("btac,btc->bta", yaw_matrix(angle_BT), flat_BT3)
        root_BT3 = step_BT3.cumsum(dim=1) - step_BT3
        height = features_BTF[..., self.groups["height"]]
        return angle_BT, torch.cat([root_BT3[..., :1], height, root_BT3[..., 2:]], dim=-1)

    def local_joints(self, features_BTF: Tensor) -> Tensor:
        """Joints (B, T, J, 3), metres, by the rotations: ahead, from the ground under the root; gradients pass."""
        height = features_BTF[..., self.groups["height"]]
        zero = torch.zeros_like(height)
        turned = matrix_of_six(
            rearrange(features_BTF[..., self.groups["rotations"]], "b t (j s) -> b t j s", s=6)
        )
        root_BT3 = torch.cat([zero, height, zero], dim=-1)
        return placed(root_BT3, turned, self.parents, self._offsets(root_BT3))

    def media(self, features_TF: Tensor) -> Motion:
        """The motion by the group "rotations"; the second inverse, with bones of the skeleton's own lengths."""
        angle_BT, root_BT3 = self.path(features_TF[None])
        turned = matrix_of_six(rearrange(features_TF[:, self.groups["rotations"]], "t (j s) -> t j s", s=6))
        rotations = against_parents(turned, self.parents)
        rotations = torch.cat([yaw_matrix(angle_BT[0])[:, None] @ rotations[:, :1], rotations[:, 1:]], dim=1)
        return Motion(self.skeleton, self.rate, root_BT3[0], quaternion_of(rotations))

    def canonical(self, motion: Motion) -> Motion:
        """The same motion with the first root over the origin and the first heading along x."""
        is_real_BT = torch.ones(1, len(motion), dtype=torch.bool, device=motion.root.device)
        half = -heading(motion.rotations[None, :, 0], is_real_BT, self.rate)[0, 0] / 2.0
        zero = torch.zeros_like(half)
        back = torch.stack([half.cos(), zero, half.sin(), zero])
        start = motion.root[0] * motion.root.new_tensor([1.0, 0.0, 1.0])
        turned = multiply(back, motion.rotations[:, 0])
        rotations = torch.cat([turned[:, None], motion.rotations[:, 1:]], dim=1)
        return Motion(motion.skeleton, motion.rate, rotate(back, motion.root - start), rotations)

    def _rows(self, motion: Any) -> Tensor:
        check_motion(motion, self.skeleton, self.rate)
        return motion.poses

    def _offsets(self, like: Tensor) -> Tensor:
        return torch.tensor(self.skeleton.offsets, dtype=like.dtype, device=like.device)

    def _until_next(self, x: Tensor, lengths_B: Tensor, has_turns: bool = False) -> Tensor:
        """Change (B, T, ...) from each pose to the next, a second; the last real pose repeats, filler stands still."""
        change = x[:, 1:] - x[:, :-1]
        change = wrapped(change) if has_turns else change
        pose_T = torch.arange(x.shape[1], device=x.device)
        index_BT = torch.minimum(pose_T, lengths_B[:, None] - 2)
        row_B1 = torch.arange(x.shape[0], device=x.device)[:, None]
        is_real_BT = (pose_T < lengths_B[:, None]).view(*index_BT.shape, *[1] * (x.ndim - 2))
        return change[row_B1, index_BT] * is_real_BT * self.rate


def _skeleton(told: Skeleton | Mapping[str, Any]) -> Skeleton:
    if isinstance(told, Skeleton):
        return told
    try:
        return Skeleton(**told)
    except TypeError as error:
        raise ValueError(
            f"skeleton={told} is none ({error}), expected names, parents, offsets and mirror"
        ) from error
