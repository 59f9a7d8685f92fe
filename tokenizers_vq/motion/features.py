"""What a motion tokenizer works on: one row of numbers for each pose."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from einops import rearrange
from torch import Tensor

from tokenizers_vq.contract import Described
from tokenizers_vq.motion.rotations import yaw_matrix


class MotionFeatures(Described, ABC):
    """Poses as rows of features, and back; "ahead" is the frame that turns with the body's heading.

    A subclass sets the attributes, and says how media become features and where features put the joints.

    Attributes:
        rate: poses a second.
        groups: name -> where in a row; together they cover it in order, and each is normalised by one deviation.
        weights: group -> its deviation after normalisation, by which errors in it count; 1 where it is not named.
        parents: of the J joints, -1 for the root.
    """

    rate: float
    groups: dict[str, slice]
    weights: dict[str, float]
    parents: tuple[int, ...]

    @property
    def width(self) -> int:
        """Features of a pose."""
        return max(group.stop for group in self.groups.values())

    @abstractmethod
    def of_media(
        self,
        media: Tensor | Sequence[Any],
        lengths: Tensor | None,
        shortest: int,
        longest: int,
        multiple: int,
    ) -> tuple[Tensor, Tensor]:
        """Features of a batch of motions, each held still at its end up to a multiple of poses.

        Args:
            media: list of motions, or a padded tensor.
            lengths: (B,) int64, real poses of each row of a padded tensor; all of them where not given.
            shortest, longest: allowed poses of a motion.
            multiple: of which the batch has a number of poses.

        Returns:
            features (B, T, width) float32; lengths (B,) int64.

        Raises:
            ValueError: a wrong type, shape or rate, NaN, a motion too short or too long.
        """

    @abstractmethod
    def media(self, features_TF: Tensor) -> Any:
        """The motion of features (T, width), of the kind that `of_media` takes in a list."""

    @abstractmethod
    def path(self, features_BTF: Tensor) -> tuple[Tensor, Tensor]:
        """Heading (B, T), radians about y, and root (B, T, 3), metres; the first pose is over the origin."""

    def kept_joints(self, features_BTF: Tensor) -> Tensor:
        """Joints (B, T, J, 3), metres, by the groups height and positions: ahead, from the ground under the root."""
        height = features_BTF[..., self.groups["height"]]
        zero = torch.zeros_like(height)
        kept = torch.cat([zero, height, zero, features_BTF[..., self.groups["positions"]]], dim=-1)
        return rearrange(kept, "b t (j c) -> b t j c", c=3)

    def local_joints(self, features_BTF: Tensor) -> Tensor:
        """Joints (B, T, J, 3) as `kept_joints`, where `media` puts them: there, if a subclass does not say otherwise.

        Gradients pass.
        """
        return self.kept_joints(features_BTF)

    def joints(self, features_BTF: Tensor) -> Tensor:
        """Joints (B, T, J, 3) in the world, metres, as the features keep them."""
        return self.in_world(self.kept_joints(features_BTF), features_BTF)

    def in_world(self, local_BTJ3: Tensor, features_BTF: Tensor) -> Tensor:
        """Joints ahead, from the ground under the root, moved along the features' path; gradients pass."""
        angle_BT, root_BT3 = self.path(features_BTF)
        turned_BTJ3 = torch.einsum("btac,btjc->btja", yaw_matrix(angle_BT), local_BTJ3)
        return turned_BTJ3 + (root_BT3 * root_BT3.new_tensor([1.0, 0.0, 1.0]))[:, :, None]


def pose_groups(joints: int, rotations: int, contacts: int) -> dict[str, slice]:
    """Name -> slice of a row, of HumanML3D's groups in their order.

    Args:
        joints: J, the root among them; the positions leave the root out.
        rotations: joints whose rotations are kept, by six numbers each.
        contacts: joints that touch the ground or not.
    """
    sizes = {"turn": 1, "velocity": 2, "height": 1, "positions": 3 * (joints - 1)}
    sizes |= {"rotations": 6 * rotations, "velocities": 3 * joints, "contacts": contacts}
    groups, start = {}, 0
    for name, size in sizes.items():
        groups[name] = slice(start, start + size)
        start += size
    return groups
