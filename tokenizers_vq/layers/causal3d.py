"""Convolutions of videos (B, C, T, H, W) that see no later frame, and run in chunks as on the whole.

Yu et al., "Language Model Beats Diffusion: Tokenizer is Key to Visual Generation" (MAGVIT-v2, 2023). The layers mirror
those of `tokenizers_vq.layers.image` name by name, so that weights for images can be inflated into them.
"""

from __future__ import annotations

from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn

from tokenizers_vq.layers.image import AttentionBlock
from tokenizers_vq.layers.past import Past

_GROUP_WIDTH = 8


class LooksBack(nn.Module):
    """Base of layers whose `forward` takes the memory of the chunks before."""


class CausalConv(LooksBack, nn.Conv3d):
    """A convolution that is padded in front alone along time; before the first frame that frame is held.

    With a stride s the frames 1 + k s become 1 + k: the first stands alone, each further one sees the s frames that
    end with its own. From one chunk to the next kernel_time - 1 frames are kept.

    Args:
        in_channels, out_channels: as of Conv3d.
        kernel_time: frames seen by a frame (by the last of each s where there is a stride, which widens the kernel to
            kernel_time + s - 1).
        kernel_size: pixels of the kernel's sides.
        time_stride: frames that become one.
        stride: pixels of a side that become one.
        padding: pixels added at each edge.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_time: int,
        kernel_size: int,
        time_stride: int = 1,
        stride: int = 1,
        padding: int = 0,
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            (kernel_time + time_stride - 1, kernel_size, kernel_size),
            (time_stride, stride, stride),
            (0, padding, padding),
        )

    def forward(self, x_BCTHW: Tensor, past: Past | None = None) -> Tensor:
        """(B, C, 1 + k s, H, W) -> (B, out, 1 + k, H', W'); k s frames -> k where `past` has begun."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        if past is None or past.is_start:
            before = x_BCTHW[:, :, :1].expand(-1, -1, kernel - 1, -1, -1)
        else:
            before = past.of(self)
        x_BCTHW = torch.cat([before, x_BCTHW], dim=2)
        if past is not None:
            # A copy, as a view would keep the whole chunk in memory.
            past.keep(self, x_BCTHW[:, :, x_BCTHW.shape[2] - (kernel - stride) :].clone())
        return super().forward(x_BCTHW)


class FrameNorm(nn.GroupNorm):
    """Group normalisation of each frame by itself; over all frames it would let the past look at the future.

    Args:
        width: channels, a multiple of 8.
    """

    def __init__(self, width: int) -> None:
        super().__init__(width // _GROUP_WIDTH, width)

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """(B, C, T, H, W) -> (B, C, T, H, W)."""
        return _by_frame(super().forward, x_BCTHW)


class FrameAttention(AttentionBlock):
    """Attention over the places of each frame by itself, beside a skip; keeps the shape.

    Args:
        width: channels, a multiple of 8.
    """

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """(B, C, T, H, W) -> (B, C, T, H, W)."""
        return _by_frame(super().forward, x_BCTHW)


class CausalSequential(LooksBack, nn.Sequential):
    """Layers one after the other; those that look back are given the memory."""

    def forward(self, x_BCTHW: Tensor, past: Past | None = None) -> Tensor:
        """(B, C, T, H, W) -> what the last layer makes of it."""
        for layer in self:
            x_BCTHW = layer(x_BCTHW, past) if isinstance(layer, LooksBack) else layer(x_BCTHW)
        return x_BCTHW


class CausalResidualBlock(LooksBack):
    """Twice FrameNorm, SiLU, causal convolution of 3 x 3 pixels, beside a skip; keeps the shape.

    Args:
        width: channels, a multiple of 8.
        kernel_time: frames that a convolution sees.
    """

    def __init__(self, width: int, kernel_time: int) -> None:
        super().__init__()
        self.body = CausalSequential(
            FrameNorm(width),
            nn.SiLU(),
            CausalConv(width, width, kernel_time, 3, padding=1),
            FrameNorm(width),
            nn.SiLU(),
            CausalConv(width, width, kernel_time, 3, padding=1),
        )
        # Each block starts as the identity, as the image's.
        nn.init.zeros_(self.body[-1].weight)  # type: ignore[arg-type]

    def forward(self, x_BCTHW: Tensor, past: Past | None = None) -> Tensor:
        """(B, C, T, H, W) -> (B, C, T, H, W)."""
        return x_BCTHW + self.body(x_BCTHW, past)


class FrameShuffle(LooksBack):
    """Channels to time and space (Shi et al., 2016): (B, s C r r, n, H, W) -> (B, C, 1 + (n - 1) s, r H, r W).

    The first frame stands alone: of the s frames that come of it, the last is kept.

    Args:
        time_stride: s, frames that come of one.
        stride: r, pixels of a side that come of one.
    """

    def __init__(self, time_stride: int, stride: int) -> None:
        super().__init__()
        self.time_stride, self.stride = time_stride, stride

    def forward(self, x_BCTHW: Tensor, past: Past | None = None) -> Tensor:
        """As above; n s frames where `past` has begun."""
        whole = "b (s c i j) t h w -> b c (t s) (h i) (w j)"
        y_BCTHW = rearrange(x_BCTHW, whole, s=self.time_stride, i=self.stride, j=self.stride)
        return y_BCTHW[:, :, self.time_stride - 1 :] if past is None or past.is_start else y_BCTHW


def _by_frame(layer: Any, x_BCTHW: Tensor) -> Tensor:
    batch = x_BCTHW.shape[0]
    frames = layer(rearrange(x_BCTHW, "b c t h w -> (b t) c h w"))
    return rearrange(frames, "(b t) c h w -> b c t h w", b=batch)
