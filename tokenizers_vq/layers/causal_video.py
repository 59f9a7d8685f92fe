"""Causal convolutional encoder and decoder of videos, frame for frame and level for level those of images.

Yu et al., "Language Model Beats Diffusion: Tokenizer is Key to Visual Generation" (MAGVIT-v2, 2023). Layers stand at
the same places under the same names as in `tokenizers_vq.layers.convolutional`, which inflation rests on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import nn

from tokenizers_vq.layers.causal3d import (
    CausalConv,
    CausalResidualBlock,
    CausalSequential,
    FrameAttention,
    FrameNorm,
    FrameShuffle,
)


@dataclass(frozen=True)
class CausalPlan:
    """What encoder and decoder share.

    Attributes:
        channels: of the videos.
        widths: channels at each level, finest first, multiples of 8.
        num_blocks: residual blocks at each level.
        stem_stride: pixels of a side that the first convolution folds.
        time_strides: frames that become one at the first convolution, then at each change of level.
        kernel_time: frames that a convolution sees.
        has_attention: attention over all places of each frame at the coarsest level.
    """

    channels: int
    widths: tuple[int, ...]
    num_blocks: int
    stem_stride: int
    time_strides: tuple[int, ...]
    kernel_time: int
    has_attention: bool


class CausalEncoder(CausalSequential):
    """(B, C, 1 + k s, H, W) -> (B, out_channels, 1 + k, H / f, W / f).

    f is stem_stride * 2^(levels - 1), s the product of the time strides.

    Args:
        plan: see there.
        out_channels: of the result.
    """

    def __init__(self, plan: CausalPlan, out_channels: int) -> None:
        widths, time, fold = plan.widths, plan.kernel_time, plan.stem_stride
        side, padding = (3, 1) if fold == 1 else (2 * fold, fold // 2)
        layers: list[nn.Module] = [
            CausalConv(plan.channels, widths[0], time, side, plan.time_strides[0], fold, padding)
        ]
        for index, width in enumerate(widths):
            if index:
                layers.append(CausalConv(widths[index - 1], width, time, 4, plan.time_strides[index], 2, 1))
            layers += [CausalResidualBlock(width, time) for _ in range(plan.num_blocks)]
        layers += _middle(plan)
        super().__init__(*layers, _head(widths[-1], CausalConv(widths[-1], out_channels, 1, 1)))


class CausalDecoder(CausalSequential):
    """(B, in_channels, 1 + k, Y, X) -> (B, channels, 1 + k s, f Y, f X), the mirror of CausalEncoder.

    Args:
        plan: see there.
        in_channels: of the latents.
    """

    def __init__(self, plan: CausalPlan, in_channels: int) -> None:
        widths, time, (first, *_) = plan.widths, plan.kernel_time, plan.time_strides
        layers: list[nn.Module] = [CausalConv(in_channels, widths[-1], time, 3, padding=1), *_middle(plan)]
        for index in reversed(range(len(widths))):
            layers += [CausalResidualBlock(widths[index], time) for _ in range(plan.num_blocks)]
            if index:
                layers.append(_upsample(widths[index], widths[index - 1], time, plan.time_strides[index]))
        last = CausalConv(widths[0], plan.channels * plan.stem_stride**2 * first, time, 3, padding=1)
        super().__init__(*layers, _head(widths[0], last), FrameShuffle(first, plan.stem_stride))

    def last_layer(self) -> nn.Parameter:
        """Weight of the convolution that makes pixels."""
        head: Any = self[-2]
        return head[-1].weight


def _upsample(in_channels: int, out_channels: int, kernel_time: int, time_stride: int) -> CausalSequential:
    conv = CausalConv(in_channels, 4 * time_stride * out_channels, kernel_time, 3, padding=1)
    return CausalSequential(conv, FrameShuffle(time_stride, 2))


def _head(width: int, last: nn.Module) -> CausalSequential:
    return CausalSequential(FrameNorm(width), nn.SiLU(), last)


def _middle(plan: CausalPlan) -> list[nn.Module]:
    if not plan.has_attention:
        return []
    width, time = plan.widths[-1], plan.kernel_time
    return [CausalResidualBlock(width, time), FrameAttention(width), CausalResidualBlock(width, time)]
