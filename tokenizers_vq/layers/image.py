"""Residual blocks and changes of resolution for images (B, C, H, W)."""

from __future__ import annotations

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
