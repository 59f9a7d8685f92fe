"""What a motion tokenizer works on: one row of numbers for each pose."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from tokenizers_vq.contract import Described
from tokenizers_vq.motion.rotations import yaw_matrix


class MotionFeatures(Described, ABC):
    """Poses as rows of features, and back; "ahead" is the frame that turns with the body's heading.

    A subclass sets the attributes, and says how media become features and where features put the joints.

    Attributes:
        rate: poses a second.
        width: features of a pose.
        groups: name -> where in a row; together they cover it, and each is normalised by one deviation.
        weights: group -> its deviation after normalisation, by which errors in it count; 1 where it is not named.
        parents: of the J joints, -1 for the root.
    """

    rate: float
    width: int
    groups: dict[str, slice]
    weights: dict[str, float]
    parents: tuple[int, ...]

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

    @abstractmethod
    def kept_joints(self, features_BTF: Tensor) -> Tensor:
        """Joints (B, T, J, 3), metres, as the features keep them: ahead, from the ground under the root."""

    @abstractmethod
    def local_joints(self, features_BTF: Tensor) -> Tensor:
        """Joints (B, T, J, 3) as `kept_joints`, where `media` puts them; gradients pass."""

    def joints(self, features_BTF: Tensor) -> Tensor:
        """Joints (B, T, J, 3) in the world, metres, as the features keep them."""
        return self.in_world(self.kept_joints(features_BTF), features_BTF)

    def in_world(self, local_BTJ3: Tensor, features_BTF: Tensor) -> Tensor:
        """Joints ahead, from the ground under the root, moved along the features' path; gradients pass."""
        angle_BT, root_BT3 = self.path(features_BTF)
        turned_BTJ3 = torch.einsum("btac,btjc->btja", yaw_matrix(angle_BT), local_BTJ3)
        return turned_BTJ3 + (root_BT3 * root_BT3.new_tensor([1.0, 0.0, 1.0]))[:, :, None]


def grouped(sizes: dict[str, int]) -> dict[str, slice]:
    """Name -> slice of a row, of groups of these sizes that follow one another."""
    groups, start = {}, 0
    for name, size in sizes.items():
        groups[name] = slice(start, start + size)
        start += size
    return groups
