"""Rotations as matrices and as six numbers, beside the contract's quaternions (w, x, y, z).

Six numbers are the first two columns of the matrix: a continuous representation, which networks learn more easily than
quaternions (Zhou et al., "On the Continuity of Rotation Representations in Neural Networks", 2019).
"""

from __future__ import annotations

import torch
from torch import Tensor


def matrix_of(quaternion: Tensor) -> Tensor:
    """(..., 4) unit quaternions -> (..., 3, 3)."""
    w, x, y, z = quaternion.unbind(-1)
    rows = [
        torch.stack([1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)], dim=-1),
        torch.stack([2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)], dim=-1),
        torch.stack([2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)], dim=-1),
    ]
    return torch.stack(rows, dim=-2)


def quaternion_of(matrix: Tensor) -> Tensor:
    """(..., 3, 3) rotation matrices -> (..., 4) unit quaternions, whose largest number is positive."""
    # Row k is 4 q_k times the quaternion; the row of the largest q_k loses no digits.
    m = matrix
    a, b, c = m[..., 0, 0], m[..., 1, 1], m[..., 2, 2]
    x, y, z = m[..., 2, 1] - m[..., 1, 2], m[..., 0, 2] - m[..., 2, 0], m[..., 1, 0] - m[..., 0, 1]
    xy, xz, yz = m[..., 1, 0] + m[..., 0, 1], m[..., 0, 2] + m[..., 2, 0], m[..., 2, 1] + m[..., 1, 2]
    rows = torch.stack(
        [
            torch.stack([1 + a + b + c, x, y, z], dim=-1),
            torch.stack([x, 1 + a - b - c, xy, xz], dim=-1),
            torch.stack([y, xy, 1 - a + b - c, yz], dim=-1),
            torch.stack([z, xz, yz, 1 - a - b + c], dim=-1),
        ],
        dim=-2,
    )
    best = rows.diagonal(dim1=-2, dim2=-1).argmax(dim=-1)[..., None, None]
    row = rows.gather(-2, best.expand(*best.shape[:-1], 4)).squeeze(-2)
    return torch.nn.functional.normalize(row, dim=-1)


def six_of(matrix: Tensor) -> Tensor:
    """(..., 3, 3) -> (..., 6): the first column, then the second."""
    return torch.cat([matrix[..., 0], matrix[..., 1]], dim=-1)


def matrix_of_six(six: Tensor) -> Tensor:
    """(..., 6) -> the rotation matrix (..., 3, 3) by Gram and Schmidt; inverse of `six_of`."""
    first = torch.nn.functional.normalize(six[..., :3], dim=-1)
    second = six[..., 3:] - (first * six[..., 3:]).sum(-1, keepdim=True) * first
    second = torch.nn.functional.normalize(second, dim=-1)
    return torch.stack([first, second, torch.linalg.cross(first, second)], dim=-1)


def yaw_matrix(angle: Tensor) -> Tensor:
    """(...) radians -> (..., 3, 3), the turn about y that takes z towards x."""
    sine, cosine = angle.sin(), angle.cos()
    zero, one = torch.zeros_like(angle), torch.ones_like(angle)
    rows = [(cosine, zero, sine), (zero, one, zero), (-sine, zero, cosine)]
    return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)


def joint_positions(
    root: Tensor, rotations: Tensor, parents: tuple[int, ...], offsets_J3: Tensor
) -> tuple[Tensor, Tensor]:
    """Forward kinematics on matrices; gradients pass.

    The same as Skeleton.forward_kinematics, which takes quaternions.

    Args:
        root: (..., 3) metres.
        rotations: (..., J, 3, 3), each joint's against its parent.
        parents: of the J joints, -1 for the root.
        offsets_J3: of each joint from its parent, metres.

    Returns:
        (..., J, 3) metres; (..., J, 3, 3) rotations against the world.
    """
    positions, turned = [root], [rotations[..., 0, :, :]]
    for joint, parent in list(enumerate(parents))[1:]:
        positions.append(positions[parent] + turned[parent] @ offsets_J3[joint])
        turned.append(turned[parent] @ rotations[..., joint, :, :])
    return torch.stack(positions, dim=-2), torch.stack(turned, dim=-3)


def placed(root: Tensor, turned: Tensor, parents: tuple[int, ...], offsets_J3: Tensor) -> Tensor:
    """Where the joints are by rotations that are all against one frame; gradients pass.

    Args:
        root: (..., 3) metres.
        turned: (..., J, 3, 3).
        parents: of the J joints, -1 for the root.
        offsets_J3: of each joint from its parent, metres.

    Returns:
        (..., J, 3) metres.
    """
    bones = torch.einsum("...jac,jc->...ja", turned[..., list(parents[1:]), :, :], offsets_J3[1:])
    positions = [root]
    for bone, parent in zip(bones.unbind(dim=-2), parents[1:]):
        positions.append(positions[parent] + bone)
    return torch.stack(positions, dim=-2)


def against_parents(turned: Tensor, parents: tuple[int, ...]) -> Tensor:
    """Rotations (..., J, 3, 3) against one frame -> each joint's against its parent; the root's stays."""
    back = turned[..., list(parents[1:]), :, :].transpose(-1, -2)
    return torch.cat([turned[..., :1, :, :], back @ turned[..., 1:, :, :]], dim=-3)
