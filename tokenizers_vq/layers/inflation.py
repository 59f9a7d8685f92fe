"""Weights of image networks for video networks of the same plan.

Yu et al., "MAGVIT: Masked Generative Video Transformer" (2022), fill a 3-D kernel's slices with zeros but for the
central one, which is the image's kernel: their convolutions are centred on a frame. Here they are causal (MAGVIT-v2,
2023), a frame's own slice is the last one, and so inflation puts the image's kernel there.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

_KERNEL_AXES = 5  # output and input channels, time, height, width


def inflated_weights(flat: Mapping[str, Tensor], like: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights for a video network that does to each frame what the image network does.

    Args:
        flat: the image network's.
        like: the video network's, by the same names; they tell the shapes alone. Where several frames come of one,
            they have as many times the output channels, the frames slowest.

    Returns:
        new tensors, named and shaped as `like`.

    Raises:
        ValueError: weights that the image network lacks, or of shapes that do not fit.
    """
    missing = sorted(set(like) - set(flat))
    if missing:
        raise ValueError(
            f"the image tokenizer has no weights {missing[:3]} ({len(missing)} are missing), expected a VQGAN of the "
            "same multipliers, num_blocks, has_attention and quantizer"
        )
    frames = {  # of each convolution, that come of one
        name.removesuffix("weight"): value.shape[0] // flat[name].shape[0]
        for name, value in like.items()
        if value.ndim == _KERNEL_AXES
    }
    out = {}
    for name, value in like.items():
        copies = frames.get(name.removesuffix("weight").removesuffix("bias"), 1)
        out[name] = _in_time(name, torch.cat([flat[name]] * copies) if copies > 1 else flat[name], value)
    return out


def _in_time(name: str, flat: Tensor, like: Tensor) -> Tensor:
    """Kernels with zeros before the last slice, everything else as it is."""
    is_kernel = like.ndim == _KERNEL_AXES
    fitting = (*like.shape[:2], *like.shape[3:]) if is_kernel else tuple(like.shape)
    if fitting != tuple(flat.shape):
        raise ValueError(
            f"{name} of the image tokenizer is {tuple(flat.shape)}, expected {fitting} for {tuple(like.shape)}; build "
            "both with the same channels, width, stem_stride and quantizer"
        )
    if not is_kernel:
        return flat.clone()
    deep = torch.zeros_like(like, device=flat.device)
    deep[:, :, -1] = flat
    return deep
