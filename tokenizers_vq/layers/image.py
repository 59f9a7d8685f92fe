"""Residual blocks and changes of resolution for images (B, C, H, W)."""

from __future__ import annotations

from einops import rearrange
from torch import Tensor, nn

_GROUP_WIDTH = 8


class ResidualBlock(nn.Module):
    """Twice GroupNorm, SiLU, 3x3 convolution, beside a skip; keeps the shape.

    Args:
        width: channels, a multiple of 8.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.GroupNorm(width // _GROUP_WIDTH, width),
            nn.SiLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.GroupNorm(width // _GROUP_WIDTH, width),
            nn.SiLU(),
            nn.Conv2d(width, width, 3, padding=1),
        )
        # Each block starts as the identity, which keeps the first steps stable.
        nn.init.zeros_(self.body[-1].weight)  # type: ignore[arg-type]

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        return x_BCHW + self.body(x_BCHW)


class Downsample(nn.Conv2d):
    """Halves the resolution by a strided convolution."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, kernel_size=4, stride=2, padding=1)


class Upsample(nn.Sequential):
    """Doubles the resolution: four times the channels, rearranged (Shi et al., 2016)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(nn.Conv2d(in_channels, 4 * out_channels, 3, padding=1), nn.PixelShuffle(2))


class AttentionBlock(nn.Module):
    """GroupNorm and attention of one head over all places, beside a skip; keeps the shape.

    Args:
        width: channels, a multiple of 8.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(width // _GROUP_WIDTH, width)
        self.to_qkv = nn.Conv2d(width, 3 * width, 1)
        self.to_out = nn.Conv2d(width, width, 1)
        nn.init.zeros_(self.to_out.weight)  # the identity at first, as ResidualBlock

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        qkv = rearrange(self.to_qkv(self.norm(x_BCHW)), "b (three c) h w -> three b 1 (h w) c", three=3)
        mixed = nn.functional.scaled_dot_product_attention(*qkv)
        return x_BCHW + self.to_out(rearrange(mixed, "b 1 (h w) c -> b c h w", h=x_BCHW.shape[2]))
