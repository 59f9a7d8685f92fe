"""Motion of a jointed body: the media of kind "motion"."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tokenizers_vq.contract.described import Described
from tokenizers_vq.contract.quaternion import multiply, rotate


@dataclass(frozen=True)
class Skeleton(Described):
    """A tree of joints; lists (of a file) become tuples.

    Attributes:
        names: of the J joints; the first is the root.
        parents: joint that each hangs on, earlier in the list; -1 for the root.
        offsets: of each joint from its parent in the parent's frame, metres; the root's is zero.
        mirror: the joint of the other side of the body, itself where there is none.

    Raises:
        ValueError: lists of different lengths, a parent that does not come before its joint, or a mirror that is not
            its own inverse.
    """

    names: tuple[str, ...]
    parents: tuple[int, ...]
    offsets: tuple[tuple[float, float, float], ...]
    mirror: tuple[int, ...]

    def __post_init__(self) -> None:
        for name in ("names", "parents", "mirror"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        object.__setattr__(self, "offsets", tuple((float(x), float(y), float(z)) for x, y, z in self.offsets))
        joints = range(len(self.names))
        sizes = {len(self.names), len(self.parents), len(self.offsets), len(self.mirror)}
        if len(sizes) != 1 or not joints:
            raise ValueError(
                f"names, parents, offsets and mirror must be equally long, got sizes {sorted(sizes)}"
            )
        if self.parents[0] != -1 or any(not 0 <= self.parents[j] < j for j in joints[1:]):
            raise ValueError(f"parents={self.parents}: -1 for the root, then each parent before its joint")
        if any(self.mirror[j] not in joints or self.mirror[self.mirror[j]] != j for j in joints):
            raise ValueError(f"mirror={self.mirror} must swap joints in pairs")

    def forward_kinematics(self, root: Tensor, rotations: Tensor) -> tuple[Tensor, Tensor]:
        """Where the joints are.

        Args:
            root: (..., 3) position of the root, metres.
            rotations: (..., J, 4) unit quaternions (w, x, y, z), each joint's against its parent, the root's against
                the world.

        Returns:
            (..., J, 3) positions in the world, metres; (..., J, 4) rotations against the world.

        Raises:
            ValueError: another number of joints.
        """
        if rotations.shape[-2:] != (len(self.names), 4) or root.shape != (*rotations.shape[:-2], 3):
            raise ValueError(
                f"root {tuple(root.shape)} and rotations {tuple(rotations.shape)}, "
                f"expected (..., 3) and (..., {len(self.names)}, 4)"
            )
        offsets = torch.tensor(self.offsets, dtype=root.dtype, device=root.device)
        positions, turned = [root], [rotations[..., 0, :]]
        for joint, parent in list(enumerate(self.parents))[1:]:
            positions.append(positions[parent] + rotate(turned[parent], offsets[joint]))
            turned.append(multiply(turned[parent], rotations[..., joint, :]))
        return torch.stack(positions, dim=-2), torch.stack(turned, dim=-2)


@dataclass(frozen=True)
class Motion:
    """T poses of a skeleton at a constant rate; y is up.

    Attributes:
        skeleton: what moves.
        rate: poses a second.
        root: (T, 3) position of the root in the world, metres.
        rotations: (T, J, 4) unit quaternions (w, x, y, z), each joint's against its parent, the root's against the
            world.

    Raises:
        ValueError: shapes that do not fit, NaN, or a rate that is not positive.
    """

    skeleton: Skeleton
    rate: float
    root: Tensor
    rotations: Tensor

    def __post_init__(self) -> None:
        length, joints = len(self.root), len(self.skeleton.names)
        if self.root.shape != (length, 3) or self.rotations.shape != (length, joints, 4):
            raise ValueError(
                f"root {tuple(self.root.shape)} and rotations {tuple(self.rotations.shape)}, "
                f"expected (T, 3) and (T, {joints}, 4)"
            )
        if not self.rate > 0.0:
            raise ValueError(f"rate={self.rate} poses a second, expected a positive number")
        if not bool(torch.isfinite(self.root).all()) or not bool(torch.isfinite(self.rotations).all()):
            raise ValueError("the motion holds NaN or infinite values; expected metres and unit quaternions")

    def __len__(self) -> int:
        return len(self.root)

    @property
    def poses(self) -> Tensor:
        """(T, 3 + 4 J), one row a pose: the root, then the quaternion of each joint."""
        return torch.cat([self.root, self.rotations.flatten(1)], dim=1)

    @property
    def positions(self) -> Tensor:
        """(T, J, 3) positions of the joints in the world, metres."""
        return self.skeleton.forward_kinematics(self.root, self.rotations)[0]

    def mirrored(self) -> Motion:
        """The same seen in a mirror across the plane z = 0: left and right change places."""
        flip = torch.tensor([1.0, -1.0, -1.0, 1.0]).to(self.rotations)
        across = torch.tensor([1.0, 1.0, -1.0]).to(self.root)
        swapped = self.rotations[:, list(self.skeleton.mirror)]
        return Motion(self.skeleton, self.rate, self.root * across, swapped * flip)
