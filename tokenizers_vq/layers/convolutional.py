"""Convolutional encoder and decoder of images with a change of resolution between levels.

Esser, Rombach and Ommer, "Taming Transformers for High-Resolution Image Synthesis" (VQGAN, 2021); all-convolutional as
in Chang et al., "MaskGIT" (2022), where attention is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from tokenizers_vq.layers.image import AttentionBlock, Downsample, ResidualBlock, Upsample

_GROUP_WIDTH = 8


def _head(width: int, last: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.GroupNorm(width // _GROUP_WIDTH, width), nn.SiLU(), last)


def _middle(width: int, has_attention: bool) -> list[nn.Module]:
    return [ResidualBlock(width), AttentionBlock(width), ResidualBlock(width)] if has_attention else []


class ConvEncoder(nn.Sequential):
    """(B, C, H, W) -> (B, out_channels, H / f, W / f), f = stem_stride * 2^(levels - 1).

    Args:
        channels: of the images.
        widths: channels at each level, finest first, multiples of 8.
        num_blocks: residual blocks at each level.
        stem_stride: pixels that the first convolution folds: 1 works at full resolution, more is as many times
            squared cheaper.
        out_channels: of the result.
        has_attention: attention over all places at the coarsest level.
    """

    def __init__(
        self,
        channels: int,
        widths: Sequence[int],
        num_blocks: int,
        stem_stride: int,
        out_channels: int,
        has_attention: bool,
    ) -> None:
        if stem_stride == 1:
            stem = nn.Conv2d(channels, widths[0], 3, padding=1)
        else:
            stem = nn.Conv2d(channels, widths[0], 2 * stem_stride, stem_stride, padding=stem_stride // 2)
        layers: list[nn.Module] = [stem]
        for index, width in enumerate(widths):
            if index:
                layers.append(Downsample(widths[index - 1], width))
            layers += [ResidualBlock(width) for _ in range(num_blocks)]
        layers += _middle(widths[-1], has_attention)
        super().__init__(*layers, _head(widths[-1], nn.Conv2d(widths[-1], out_channels, 1)))


class ConvDecoder(nn.Sequential):
    """(B, in_channels, Y, X) -> (B, channels, f Y, f X), the mirror of ConvEncoder.

    Args:
        in_channels: of the latents.
        channels, widths, num_blocks, stem_stride, has_attention: see ConvEncoder.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        widths: Sequence[int],
        num_blocks: int,
        stem_stride: int,
        has_attention: bool,
    ) -> None:
        layers: list[nn.Module] = [nn.Conv2d(in_channels, widths[-1], 3, padding=1)]
        layers += _middle(widths[-1], has_attention)
        for index in reversed(range(len(widths))):
            layers += [ResidualBlock(widths[index]) for _ in range(num_blocks)]
            if index:
                layers.append(Upsample(widths[index], widths[index - 1]))
        last = nn.Conv2d(widths[0], channels * stem_stride**2, 3, padding=1)
        super().__init__(*layers, _head(widths[0], last), nn.PixelShuffle(stem_stride))

    def last_layer(self) -> nn.Parameter:
        """Weight of the convolution that makes pixels."""
        head: Any = self[-2]
        return head[-1].weight


def check_widths(widths: Sequence[int], num_blocks: int, stem_stride: int) -> None:
    """Raise ValueError unless the sizes make an encoder."""
    if not widths or any(width < _GROUP_WIDTH or width % _GROUP_WIDTH for width in widths):
        raise ValueError(f"widths of the levels {tuple(widths)}: expected multiples of {_GROUP_WIDTH}")
    if num_blocks < 0:
        raise ValueError(f"num_blocks={num_blocks}: expected 0 or more")
    if stem_stride not in (1, 2, 4, 8, 16):
        raise ValueError(f"stem_stride={stem_stride}: expected 1, 2, 4, 8 or 16")


def feature_map(latents: Tensor) -> Tensor:
    """(B, Y, X, D), as quantizers want it, -> (B, D, Y, X)."""
    return latents.permute(0, 3, 1, 2)
