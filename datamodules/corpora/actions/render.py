"""Video of a moving skeleton: round limbs on a plain ground, left limbs blue, right limbs red."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from datamodules.corpora.actions.camera import TARGET_HEIGHT, Camera
from tokenizers_vq.contract.motion import Motion
from tokenizers_vq.contract.quaternion import rotate

_LEFT, _RIGHT, _BODY, _HEAD = (0.10, 0.30, 0.85), (0.85, 0.20, 0.10), (0.20, 0.20, 0.24), (0.90, 0.62, 0.35)
_SKY, _GROUND, _SHADOW = 1.0, 0.88, 0.70
_SHADOW_RADIUS = 0.25
_LIMB, _TRUNK, _SKULL = 0.055, 0.085, 0.11  # radii, metres
_CROWN, _TOE = (
    (0.0, 0.17, 0.0),
    (0.13, -0.03, 0.0),
)  # from the neck, from an ankle, each in the joint's own frame


class _Bones(NamedTuple):
    """K round bones in T poses.

    Attributes:
        start: (T, K, 3) metres.
        stop: (T, K, 3) metres.
        radius: (K,) metres.
        colour: (K, 3) in [0, 1].
    """

    start: Tensor
    stop: Tensor
    radius: Tensor
    colour: Tensor


def render(motion: Motion, camera: Camera, size: int = 64) -> tuple[Tensor, Tensor]:
    """Draw a motion; the camera stands still and looks at the middle of the way.

    Args:
        motion: T poses of a skeleton whose joints are named as the humanoid's (left_*, right_*, neck, *_ankle).
        camera: from where.
        size: pixels of a side.

    Returns:
        (T, 3, size, size) float32 in [0, 1]; (T, 1, size, size) float32 share of each pixel that the body covers.

    Raises:
        ValueError: a size below 1.
    """
    if size < 1:
        raise ValueError(f"size={size} pixels, expected at least 1")
    target = motion.root.mean(dim=0)
    target[1] = TARGET_HEIGHT
    bones = _bones(motion)
    coverage, depth = _cover(bones, camera, target, size)
    pictures = _background(motion.root, camera, target, size)
    alpha = torch.zeros(len(motion), 1, size, size)
    # The farthest bone first, so that nearer ones lie over it.
    order = depth.argsort(dim=1, descending=True)
    poses = torch.arange(len(motion))
    for bone in order.unbind(dim=1):
        share = coverage[poses, bone][:, None]
        pictures = torch.lerp(pictures, bones.colour[bone][:, :, None, None], share)
        alpha = torch.lerp(alpha, torch.ones(()), share)
    return pictures, alpha


def _bones(motion: Motion) -> _Bones:
    skeleton = motion.skeleton
    positions, turned = skeleton.forward_kinematics(motion.root, motion.rotations)
    start, stop, radius, colour = [], [], [], []
    for joint, name in enumerate(skeleton.names):
        side = _LEFT if name.startswith("left") else _RIGHT if name.startswith("right") else _BODY
        if joint > 0:
            start.append(positions[:, skeleton.parents[joint]])
            stop.append(positions[:, joint])
            radius.append(_TRUNK if side is _BODY else _LIMB)
            colour.append(side)
        if name.endswith("ankle"):
            start.append(positions[:, joint])
            stop.append(positions[:, joint] + rotate(turned[:, joint], torch.tensor(_TOE)))
            radius.append(_LIMB)
            colour.append(side)
        if name == "neck":
            crown = positions[:, joint] + rotate(turned[:, joint], torch.tensor(_CROWN))
            start.append(crown)
            stop.append(crown)
            radius.append(_SKULL)
            colour.append(_HEAD)
    return _Bones(
        torch.stack(start, dim=1), torch.stack(stop, dim=1), torch.tensor(radius), torch.tensor(colour)
    )


def _cover(bones: _Bones, camera: Camera, target: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """(T, K, size, size) share of each pixel that a bone covers; (T, K) how far away it is, in no unit."""
    first, near = camera.project(bones.start, target, size)
    second, far = camera.project(bones.stop, target, size)
    scale = (near + far) / 2.0
    centres = torch.arange(size) + 0.5
    across = centres - first[..., 0, None]  # (T, K, size)
    down = centres - first[..., 1, None]
    way = second - first
    squared = way.square().sum(-1).clamp(min=1e-6)[..., None, None]
    along = across[..., None, :] * way[..., 0, None, None] + down[..., :, None] * way[..., 1, None, None]
    along = (along / squared).clamp(0.0, 1.0)
    gap = torch.hypot(
        across[..., None, :] - along * way[..., 0, None, None],
        down[..., :, None] - along * way[..., 1, None, None],
    )
    return ((bones.radius * scale)[..., None, None] - gap + 0.5).clamp(0.0, 1.0), -scale


def _background(root: Tensor, camera: Camera, target: Tensor, size: int) -> Tensor:
    """(T, 3, size, size): sky, ground and the body's shadow under its root."""
    place, below = camera.ground(target, size)
    gap = (place - root[:, None, None, ::2]).norm(dim=-1)
    shadow = (2.0 - 2.0 * gap / _SHADOW_RADIUS).clamp(0.0, 1.0)
    ground = torch.lerp(torch.tensor(_GROUND), torch.tensor(_SHADOW), shadow)
    grey = torch.lerp(torch.tensor(_SKY), ground, below)
    return grey[:, None].expand(-1, 3, -1, -1)
