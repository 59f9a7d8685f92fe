"""Encoder and decoder of DALL-E's discrete VAE.

Ramesh et al., "Zero-Shot Text-to-Image Generation" (2021), appendix A: groups of residual blocks of four convolutions
without normalisation, maximum pooling down and nearest-neighbour repetition up.
"""

from __future__ import annotations

from torch import Tensor, nn

_BOTTLENECK = 4


class BottleneckBlock(nn.Module):
    """ReLU before each of four convolutions, through a quarter of the channels, beside a skip.

    Args:
        in_channels, out_channels: where they differ, the skip is a 1x1 convolution.
        gain: of the branch; 1 / (number of blocks)^2 keeps a deep stack of them stable without normalisation.
        kernels: of the four convolutions: wide first and a 1x1 last in the encoder, the other way in the decoder.
    """

    def __init__(self, in_channels: int, out_channels: int, gain: float, kernels: tuple[int, ...]) -> None:
        super().__init__()
        self.gain = gain
        hidden = out_channels // _BOTTLENECK
        widths = [in_channels, hidden, hidden, hidden, out_channels]
        layers: list[nn.Module] = []
        for before, after, kernel in zip(widths, widths[1:], kernels):
            layers += [nn.ReLU(), nn.Conv2d(before, after, kernel, padding=kernel // 2)]
        self.branch = nn.Sequential(*layers)
        is_same = in_channels == out_channels
        self.skip = nn.Identity() if is_same else nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """(B, in_channels, H, W) -> (B, out_channels, H, W)."""
        return self.skip(x_BCHW) + self.gain * self.branch(x_BCHW)


def discrete_encoder(
    channels: int, width: int, num_groups: int, num_blocks: int, out_channels: int
) -> nn.Module:
    """(B, channels, H, W) -> (B, out_channels, H / f, W / f), f = 2^(num_groups - 1); widths double by group."""
    gain = 1 / (num_groups * num_blocks) ** 2
    layers: list[nn.Module] = [nn.Conv2d(channels, width, 7, padding=3)]
    before = width
    for group in range(num_groups):
        for _ in range(num_blocks):
            after = width * 2**group
            layers.append(BottleneckBlock(before, after, gain, (3, 3, 3, 1)))
            before = after
        if group < num_groups - 1:
            layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers, nn.ReLU(), nn.Conv2d(before, out_channels, 1))


def discrete_decoder(
    in_channels: int, width: int, num_groups: int, num_blocks: int, out_channels: int
) -> nn.Sequential:
    """(B, in_channels, Y, X) -> (B, out_channels, f Y, f X), the mirror of the encoder."""
    gain = 1 / (num_groups * num_blocks) ** 2
    layers: list[nn.Module] = [nn.Conv2d(in_channels, max(width // 2, 1), 1)]
    before = max(width // 2, 1)
    for group in reversed(range(num_groups)):
        for _ in range(num_blocks):
            after = width * 2**group
            layers.append(BottleneckBlock(before, after, gain, (1, 3, 3, 3)))
            before = after
        if group:
            layers.append(nn.Upsample(scale_factor=2, mode="nearest"))
    return nn.Sequential(*layers, nn.ReLU(), nn.Conv2d(before, out_channels, 1))
