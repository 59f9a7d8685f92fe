"""All-convolutional encoder and decoder of images, the decoder's norms steered by the latents.

Yu et al., "Language Model Beats Diffusion: Tokenizer is Key to Visual Generation" (MAGVIT-v2, 2023), appendix A, for
images as in Luo et al., "Open-MAGVIT2" (2024). Parts have the names of the latter's published weights.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from einops import rearrange
from torch import Tensor, nn
from torch.nn.functional import silu

_EPSILON = 1e-6


class BiasFreeBlock(nn.Module):
    """Twice GroupNorm, SiLU and 3x3 convolution without bias, beside a skip; (B, in, H, W) -> (B, out, H, W)."""

    def __init__(self, in_channels: int, out_channels: int, num_groups: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(num_groups, in_channels, _EPSILON)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)
        self.norm2 = nn.GroupNorm(num_groups, out_channels, _EPSILON)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.nin_shortcut: nn.Module = nn.Identity()
        if in_channels != out_channels:
            self.nin_shortcut = nn.Conv2d(in_channels, out_channels, 1, bias=False)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """(B, in_channels, H, W) -> (B, out_channels, H, W)."""
        h_BCHW = self.conv1(silu(self.norm1(x_BCHW)))
        h_BCHW = self.conv2(silu(self.norm2(h_BCHW)))
        out: Tensor = h_BCHW + self.nin_shortcut(x_BCHW)
        return out


class AdaptiveGroupNorm(nn.Module):
    """Group norm whose scale comes from the spread of the latents over all places, and whose shift from their mean.

    Args:
        latent_dim: width of the latents.
        width: channels that are normalised.
        num_groups: of the norm.
    """

    def __init__(self, latent_dim: int, width: int, num_groups: int) -> None:
        super().__init__()
        self.gn = nn.GroupNorm(num_groups, width, _EPSILON, affine=False)
        self.gamma = nn.Linear(latent_dim, width)
        self.beta = nn.Linear(latent_dim, width)

    def forward(self, x_BCHW: Tensor, latents_BDYX: Tensor) -> Tensor:
        """(B, C, H, W), steered by latents (B, D, Y, X) of at least two places."""
        flat_BDP = latents_BDYX.flatten(start_dim=2)
        scale_BC = self.gamma((flat_BDP.var(dim=2) + _EPSILON).sqrt())
        shift_BC = self.beta(flat_BDP.mean(dim=2))
        out: Tensor = scale_BC[..., None, None] * self.gn(x_BCHW) + shift_BC[..., None, None]
        return out


class BlockUpsample(nn.Module):
    """Doubles the resolution; the four pixels of a channel lie `width` channels apart, those of PixelShuffle 1."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, 4 * width, 3, padding=1)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, 2 H, 2 W)."""
        return rearrange(self.conv1(x_BCHW), "b (i j c) h w -> b c (h i) (w j)", i=2, j=2)


class PlainConvEncoder(nn.Module):
    """(B, C, H, W) -> (B, out_channels, H / f, W / f), f = 2^(levels - 1).

    Args:
        channels: of the images.
        widths: channels at each level, finest first, multiples of num_groups.
        num_blocks: residual blocks at each level, and after the last.
        out_channels: of the result.
        num_groups: of the group norms.
    """

    def __init__(
        self, channels: int, widths: Sequence[int], num_blocks: int, out_channels: int, num_groups: int
    ) -> None:
        super().__init__()
        self.conv_in = nn.Conv2d(channels, widths[0], 3, padding=1, bias=False)
        levels = []
        for before, width in zip([widths[0], *widths], widths):
            levels.append(_level(before, width, num_blocks, num_groups))
        for level, width in zip(levels[:-1], widths):
            level.add_module("downsample", nn.Conv2d(width, width, 3, stride=2, padding=1))
        self.down = nn.Sequential(*levels)
        self.mid_block = _blocks(widths[-1], widths[-1], num_blocks, num_groups)
        self.norm_out = nn.GroupNorm(num_groups, widths[-1], _EPSILON)
        self.conv_out = nn.Conv2d(widths[-1], out_channels, 1)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, out_channels, Y, X)."""
        h_BCHW = self.mid_block(self.down(self.conv_in(x_BCHW)))
        out: Tensor = self.conv_out(silu(self.norm_out(h_BCHW)))
        return out


class AdaptiveConvDecoder(nn.Module):
    """(B, in_channels, Y, X) -> (B, channels, f Y, f X): the encoder's mirror, an adaptive norm before each level.

    Args:
        in_channels: of the latents.
        channels, widths, num_blocks, num_groups: see PlainConvEncoder.
    """

    def __init__(
        self, in_channels: int, channels: int, widths: Sequence[int], num_blocks: int, num_groups: int
    ) -> None:
        super().__init__()
        self.conv_in = nn.Conv2d(in_channels, widths[-1], 3, padding=1)
        self.mid_block = _blocks(widths[-1], widths[-1], num_blocks, num_groups)
        before = [*widths[1:], widths[-1]]  # what comes into each level, finest first
        levels = [_level(b, width, num_blocks, num_groups) for b, width in zip(before, widths)]
        for level, width in zip(levels[1:], widths[1:]):
            level.add_module("upsample", BlockUpsample(width))
        self.up = nn.ModuleList(levels)
        self.adaptive = nn.ModuleList(AdaptiveGroupNorm(in_channels, width, num_groups) for width in before)
        self.norm_out = nn.GroupNorm(num_groups, widths[0], _EPSILON)
        self.conv_out = nn.Conv2d(widths[0], channels, 3, padding=1)

    def forward(self, latents_BDYX: Tensor) -> Tensor:
        """(B, D, Y, X) -> (B, C, H, W)."""
        h_BCHW = self.mid_block(self.conv_in(latents_BDYX))
        for norm, level in zip(reversed(self.adaptive), reversed(self.up)):
            h_BCHW = level(norm(h_BCHW, latents_BDYX))
        out: Tensor = self.conv_out(silu(self.norm_out(h_BCHW)))
        return out


def _blocks(before: int, width: int, count: int, num_groups: int) -> nn.Sequential:
    widths = [before, *[width] * count]
    return nn.Sequential(*(BiasFreeBlock(a, b, num_groups) for a, b in zip(widths, widths[1:])))


def _level(before: int, width: int, count: int, num_groups: int) -> nn.Sequential:
    """The blocks of one resolution; the way to the next is added to it."""
    return nn.Sequential(OrderedDict(block=_blocks(before, width, count, num_groups)))
