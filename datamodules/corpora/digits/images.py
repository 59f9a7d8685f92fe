"""scikit-learn's 1,797 real handwritten digits as 32 x 32 grey images, and light affine augmentation."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from datamodules.corpora.packages import import_package
from tokenizers_vq.contract import Key

SIZE = 32
MAX_ROTATION, MAX_SHEAR = math.radians(10.0), 0.12
MAX_SCALE, MAX_SHIFT = 0.08, 0.06


def load_images() -> tuple[Tensor, Tensor]:
    """All images, in the order scikit-learn brings them.

    Returns:
        (1797, 1, 32, 32) float32 in [0, 1], bicubic from 8 x 8, ink is bright; (1797,) int64 labels.

    Raises:
        ValueError: scikit-learn is not installed.
    """
    datasets = import_package("sklearn.datasets", "scikit-learn", "the digits corpus")
    bunch = datasets.load_digits()
    small = torch.from_numpy(bunch.images).float()[:, None] / 16.0
    large = F.interpolate(small, size=(SIZE, SIZE), mode="bicubic", align_corners=False)
    return large.clamp_(0.0, 1.0), torch.from_numpy(bunch.target).long()


def augment(images: Tensor, key: Key, sample_id: Tensor) -> Tensor:
    """Rotate (10 degrees), scale (8 %), shift (2 pixels of 32) and shear (0.12) at most, all uniform.

    Args:
        images: (B, C, H, W) float32.
        key: seed and step.
        sample_id: (B,) int64; an image's transform depends on the key and its own id alone.

    Returns:
        (B, C, H, W), in the range of the input, dark where the source has no pixel.
    """
    draw = key.fold("affine").uniform(sample_id[:, None], torch.arange(6)).to(images) * 2.0 - 1.0
    angle, shear = draw[:, 0] * MAX_ROTATION, draw[:, 1] * MAX_SHEAR
    scale_x, scale_y = 1.0 + draw[:, 2] * MAX_SCALE, 1.0 + draw[:, 3] * MAX_SCALE
    cos, sin = angle.cos(), angle.sin()
    theta = torch.stack(
        [
            torch.stack([cos * scale_x, (shear * cos - sin) * scale_y, draw[:, 4] * 2.0 * MAX_SHIFT], dim=1),
            torch.stack([sin * scale_x, (shear * sin + cos) * scale_y, draw[:, 5] * 2.0 * MAX_SHIFT], dim=1),
        ],
        dim=1,
    )
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
