"""Where a body faces, as an angle about the vertical that is smooth through flips and cartwheels.

The turn about y in a rotation (its twist) is not defined upside down, and no other choice that looks at one pose alone
is free of such places. So the heading follows the vertical part of the body's turning, which is always small from pose
to pose, and is held to the twist, averaged over about half a second with more weight on upright poses.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from tokenizers_vq.contract.quaternion import multiply

_SIGMA_S = 0.25  # of the Gaussian average of the twist, seconds
_REACH = 3.0  # sigmas to either side


def heading(root_BT4: Tensor, is_real_BT: Tensor, rate: float) -> Tensor:
    """The angle of each pose about y, radians; (cos a, 0, -sin a) is the direction that its x axis faces.

    A body turned about y by an angle has its headings turned by the same angle, up to whole turns.

    Args:
        root_BT4: rotations of the root against the world, unit quaternions (w, x, y, z).
        is_real_BT: bool, False at filler, which may follow the real poses and does not change them.
        rate: poses a second.

    Returns:
        (B, T).
    """
    change = multiply(root_BT4[:, 1:], root_BT4[:, :-1] * root_BT4.new_tensor([1.0, -1.0, -1.0, -1.0]))
    turn_BT = _angle(*_twist(change))
    turned_BT = torch.nn.functional.pad(turn_BT.cumsum(dim=1), (1, 0))
    # A complex number a pose: its angle is the twist that the turning leaves, its size says how upright the body is.
    real, imaginary = _twist(root_BT4)
    sine, cosine = turned_BT.sin(), turned_BT.cos()
    rest_B2T = torch.stack([real * cosine + imaginary * sine, imaginary * cosine - real * sine], dim=1)
    smooth_B2T = _average(rest_B2T * is_real_BT[:, None], rate)
    return turned_BT + _angle(smooth_B2T[:, 0], smooth_B2T[:, 1])


def wrapped(angle: Tensor) -> Tensor:
    """Radians brought into [-pi, pi) by whole turns."""
    return torch.remainder(angle + math.pi, 2.0 * math.pi) - math.pi


def _twist(rotation: Tensor) -> tuple[Tensor, Tensor]:
    """Real and imaginary part of (w + iy)^2, whose angle is the turn about y; the same for q and -q."""
    w, y = rotation[..., 0], rotation[..., 2]
    return w * w - y * y, 2.0 * w * y


def _angle(real: Tensor, imaginary: Tensor) -> Tensor:
    return torch.atan2(imaginary, real)


def _average(x_BCT: Tensor, rate: float) -> Tensor:
    """Weighted sum over neighbours in time; only the direction of the result counts."""
    reach = max(1, round(_REACH * _SIGMA_S * rate))
    seconds = torch.arange(-reach, reach + 1, device=x_BCT.device, dtype=x_BCT.dtype) / rate
    kernel = torch.exp(-0.5 * (seconds / _SIGMA_S).square())
    channels = x_BCT.shape[1]
    return torch.nn.functional.conv1d(x_BCT, kernel.expand(channels, 1, -1), padding=reach, groups=channels)
