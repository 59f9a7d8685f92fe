"""Quantizer dropout: some samples keep only the first levels, so that the first levels suffice alone.

Zeghidour et al., "SoundStream" (2021), section III-D.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tokenizers_vq.contract import Key


def kept_levels(latents: Tensor, num_levels: int, share: float, key: Key, step: Tensor) -> Tensor:
    """Levels that each position keeps: (...) int64 from 1 to num_levels, the same within a sample.

    Args:
        latents: (B, ..., dim), of which only the shape counts.
        num_levels: levels there are.
        share: of the samples that keep a uniformly drawn number of levels; the others keep all.
        key: of the draw.
        step: scalar int64, a counter of the hash, so that it need not be read from the device.
    """
    sample = torch.arange(latents.shape[0], device=latents.device)
    is_dropped = key.uniform(step, sample, 0) < share
    drawn = 1 + key.integers(num_levels, step, sample, 1)
    depth = torch.where(is_dropped, drawn, num_levels)
    return depth.view(-1, *[1] * (latents.ndim - 2)).expand(latents.shape[:-1])
