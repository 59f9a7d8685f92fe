"""Cameras that look at a moving body."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from tokenizers_vq.contract import Key

TARGET_HEIGHT = 0.85  # metres: about the hips
_MIN_ELEVATION, _MAX_ELEVATION = math.radians(3.0), math.radians(25.0)
_NEAREST, _FARTHEST = 3.6, 4.6
_FOCAL = 1.7  # focal length over the side of the picture: 1.2 m above and below the middle at 4 m


class Camera(NamedTuple):
    """Where a camera stands; it looks at a point above the ground.

    Attributes:
        yaw: radians around the body; 0 looks at the face of one that looks along x, pi / 2 at its left side.
        elevation: radians above the horizon.
        distance: metres from what it looks at.
    """

    yaw: float
    elevation: float
    distance: float

    def axes(self) -> Tensor:
        """(3, 3): directions of right, up and away in the world, one a row."""
        away = torch.tensor(
            [
                -math.cos(self.elevation) * math.cos(self.yaw),
                -math.sin(self.elevation),
                math.cos(self.elevation) * math.sin(self.yaw),
            ]
        )
        right = torch.linalg.cross(away, torch.tensor([0.0, 1.0, 0.0]))
        right = right / right.norm()
        return torch.stack([right, torch.linalg.cross(right, away), away])

    def project(self, points: Tensor, target: Tensor, size: int) -> tuple[Tensor, Tensor]:
        """Where points appear.

        Args:
            points: (..., 3) metres.
            target: (3,) what the camera looks at.
            size: pixels of a side of the picture.

        Returns:
            (..., 2) pixels from the left and from the top; (...) pixels that a metre takes there, larger is nearer.
        """
        right, up, away = ((points - target) @ self.axes().T).unbind(-1)
        scale = _FOCAL * size / (away + self.distance).clamp(min=0.1)
        return torch.stack([size / 2 + right * scale, size / 2 - up * scale], dim=-1), scale

    def ground(self, target: Tensor, size: int) -> tuple[Tensor, Tensor]:
        """What each pixel shows of the ground y = 0.

        Returns:
            (size, size, 2) its x and z, metres; (size, size) share of the pixel under the horizon, 0 to 1.
        """
        steps = (torch.arange(size) + 0.5 - size / 2) / (_FOCAL * size)
        axes = self.axes()
        rays = steps[None, :, None] * axes[0] - steps[:, None, None] * axes[1] + axes[2]
        eye = target - self.distance * axes[2]
        reach = eye[1] / (-rays[..., 1]).clamp(min=1e-6)
        return (eye + reach[..., None] * rays)[..., ::2], (-rays[..., 1] * _FOCAL * size + 0.5).clamp(
            0.0, 1.0
        )


def draw_cameras(key: Key, sample_id: Tensor) -> list[Camera]:
    """A camera each: any side, 3 to 25 degrees high, 3.6 to 4.6 m away, all uniform.

    Args:
        key: seed and step.
        sample_id: (B,) int64; a sample's camera depends on the key and its own id alone.
    """
    draw = key.fold("camera").uniform(sample_id[:, None], torch.arange(3)).tolist()
    return [
        Camera(
            2.0 * math.pi * yaw,
            _MIN_ELEVATION + elevation * (_MAX_ELEVATION - _MIN_ELEVATION),
            _NEAREST + distance * (_FARTHEST - _NEAREST),
        )
        for yaw, elevation, distance in draw
    ]
