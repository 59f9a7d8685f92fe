"""Training variants of drawings."""

from __future__ import annotations

import torch
from torch import Tensor

from tokenizers_vq.contract import Key

MAX_SHIFT = 6  # pixels of 64


def augment(images: Tensor, key: Key, sample_id: Tensor) -> Tensor:
    """Mirror half of the drawings, move them by at most 6 pixels of 64, and exchange the colours of half of them.

    Args:
        images: (B, 3, H, W) float32, whose top left pixel is the ground.
        key: seed and step.
        sample_id: (B,) int64; a drawing's change depends on the key and its own id alone.

    Returns:
        (B, 3, H, W); where a drawing was moved away its ground shows.
    """
    _, _, height, width = images.shape
    draw_B3 = key.fold("drawing").uniform(sample_id[:, None], torch.arange(3))
    is_mirrored = draw_B3[:, 0] < 0.5
    images = torch.where(is_mirrored[:, None, None, None], images.flip(3), images)
    images = _shifted(images, 2, _pixels(draw_B3[:, 1], height))
    images = _shifted(images, 3, _pixels(draw_B3[:, 2], width))
    order_B3 = key.fold("colours").uniform(sample_id[:, None], torch.arange(3)).argsort(dim=1)
    is_recoloured = key.fold("recoloured").uniform(sample_id) < 0.5
    order_B3 = torch.where(is_recoloured[:, None], order_B3, torch.arange(3))
    return images.gather(1, order_B3[:, :, None, None].expand_as(images))


def _pixels(draw_B: Tensor, size: int) -> Tensor:
    """(B,) int64 in [-most, most]."""
    most = MAX_SHIFT * size // 64
    return (draw_B * (2 * most + 1)).long() - most


def _shifted(images: Tensor, dim: int, shift_B: Tensor) -> Tensor:
    size = images.shape[dim]
    source = torch.arange(size) - shift_B[:, None]
    is_ground = (source < 0) | (source >= size)
    view = [images.shape[0], 1, 1, 1]
    view[dim] = size
    moved = images.gather(dim, source.clamp(0, size - 1).view(view).expand_as(images))
    return torch.where(is_ground.view(view), images[:, :, :1, :1], moved)
