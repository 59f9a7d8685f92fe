"""Video tokenizers that start from a trained image tokenizer.

Yu et al., "MAGVIT: Masked Generative Video Transformer" (2022), fill a 3-D kernel's slices with zeros but for the
central one, which is the image's kernel: their convolutions are centred on a frame. Here they are causal (MAGVIT-v2,
2023), a frame's own slice is the last one, and so inflation puts the image's kernel there.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from tokenizers_vq.contract.described import arguments_of, rebuild
from tokenizers_vq.video.causal_cnn import CausalVideoCNN
from tokenizers_vq.vision.vqgan import VQGAN

_TIMELESS = (
    "quantizer",
    "image_size",
    "channels",
    "width",
    "multipliers",
    "num_blocks",
    "stem_stride",
    "has_attention",
)


def inflate(
    tokenizer: VQGAN,
    time_strides: Sequence[int],
    kernel_time: int = 3,
    max_length: int = 16,
    rate: float = 25.0,
) -> CausalVideoCNN:
    """A video tokenizer that does to each frame what the image tokenizer does; training adds the use of time.

    At the start a token of any video is the image tokenizer's code of the last frame that the token stands for, and all
    those frames are the code's image. So a one-frame video has the image's codes and reconstruction, and a video that
    stands still has them in every frame.

    Args:
        tokenizer: trained on frames or other images; it stays as it is.
        time_strides, kernel_time, max_length, rate: see CausalVideoCNN.

    Raises:
        ValueError: no VQGAN, arguments that CausalVideoCNN refuses.
    """
    if not isinstance(tokenizer, VQGAN):
        raise ValueError(
            f"a {type(tokenizer).__name__} cannot be inflated, expected a VQGAN: its layers are those of CausalVideoCNN"
        )
    described = arguments_of(tokenizer)
    kept = rebuild({name: described[name] for name in (*_TIMELESS, "loss")})
    video = CausalVideoCNN(
        **kept, time_strides=time_strides, kernel_time=kernel_time, max_length=max_length, rate=rate
    )
    flat = tokenizer.state_dict()
    video.load_state_dict({name: _in_time(flat[name], value) for name, value in video.state_dict().items()})
    return video.to(tokenizer.last_layer().device).train(tokenizer.training)


def inflate_folder(
    folder: Path | str,
    time_strides: Sequence[int],
    kernel_time: int = 3,
    max_length: int = 16,
    rate: float = 25.0,
) -> CausalVideoCNN:
    """`inflate` of the tokenizer that a folder holds; configs name it as a class_path.

    Args:
        folder: written by VQGAN.save or `maskmm export`.
        time_strides, kernel_time, max_length, rate: see CausalVideoCNN.

    Raises:
        ValueError: as load_tokenizer and inflate.
    """
    tokenizer = VQGAN.load(folder)
    assert isinstance(tokenizer, VQGAN)
    return inflate(tokenizer, time_strides, kernel_time, max_length, rate)


def _in_time(flat: Tensor, like: Tensor) -> Tensor:
    """A weight or bias of the shape of `like`: zeros before the last slice; once for each frame that comes of one."""
    copies = like.shape[0] // flat.shape[0] if flat.ndim else 1
    flat = flat.repeat(copies, *(1 for _ in flat.shape[1:])) if copies > 1 else flat
    if like.ndim == flat.ndim:
        return flat.clone()
    deep = torch.zeros_like(like, device=flat.device)
    deep[:, :, -1] = flat
    return deep
