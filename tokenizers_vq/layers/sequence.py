"""Residual blocks and changes of rate for sequences (B, C, T) of unequal length.

Padding is set to zero before every convolution, and nothing is normalised over time: each sample gives what it gives
alone.
"""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor, nn


class ChannelNorm(nn.Module):
    """Layer normalisation over the channels of each position.

    Args:
        width: channels.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width, 1))
        self.bias = nn.Parameter(torch.zeros(width, 1))

    def forward(self, x_BCT: Tensor) -> Tensor:
        """(B, C, T) -> (B, C, T)."""
        variance, mean = torch.var_mean(x_BCT, dim=1, keepdim=True, correction=0)
        return (x_BCT - mean) * torch.rsqrt(variance + 1e-5) * self.weight + self.bias


class ResidualBlock(nn.Module):
    """Twice ChannelNorm, SiLU, convolution of 3, beside a skip; keeps the shape.

    Args:
        width: channels.
        dilation: of the first convolution.
    """

    def __init__(self, width: int, dilation: int = 1) -> None:
        super().__init__()
        self.norm_1, self.norm_2 = ChannelNorm(width), ChannelNorm(width)
        self.conv_1 = nn.Conv1d(width, width, 3, padding=dilation, dilation=dilation)
        self.conv_2 = nn.Conv1d(width, width, 3, padding=1)
        # Each block starts as the identity, which keeps the first steps stable.
        nn.init.zeros_(self.conv_2.weight)

    def forward(self, x_BCT: Tensor, weight_B1T: Tensor) -> Tensor:
        """Args: x_BCT: values; weight_B1T: float, 1 at real positions and 0 at padding."""
        h_BCT = self.conv_1(nn.functional.silu(self.norm_1(x_BCT)) * weight_B1T)
        return x_BCT + self.conv_2(nn.functional.silu(self.norm_2(h_BCT)) * weight_B1T)


class ResidualStack(nn.Module):
    """Residual blocks of growing dilation: 1, 3, 9 ...

    Args:
        width: channels.
        num_blocks: number of blocks.
    """

    def __init__(self, width: int, num_blocks: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(ResidualBlock(width, dilation=3**index) for index in range(num_blocks))

    def forward(self, x_BCT: Tensor, weight_B1T: Tensor) -> Tensor:
        """Args: x_BCT: values; weight_B1T: float, 1 at real positions and 0 at padding."""
        for block in self.blocks:
            x_BCT = block(x_BCT, weight_B1T)
        return x_BCT


class SequenceEncoder(nn.Module):
    """(B, in_channels, 4 n) -> (B, out_channels, n): two halvings of the rate, residual blocks at each rate.

    Args:
        in_channels, width, out_channels: channels before, inside and after.
        num_blocks: residual blocks at each of the three rates.
    """

    def __init__(self, in_channels: int, width: int, out_channels: int, num_blocks: int) -> None:
        super().__init__()
        self.stem = nn.Conv1d(in_channels, width, 3, padding=1)
        self.stages = nn.ModuleList(ResidualStack(width, num_blocks) for _ in range(3))
        self.downs = nn.ModuleList(nn.Conv1d(width, width, 4, stride=2, padding=1) for _ in range(2))
        self.head = nn.Sequential(ChannelNorm(width), nn.Conv1d(width, out_channels, 1))

    def forward(self, x_BCT: Tensor, weight_B1T: Tensor) -> Tensor:
        """Args: x_BCT: values; weight_B1T: float, 1 at real positions and 0 at padding."""
        x_BCT = self.stem(x_BCT * weight_B1T)
        for index, stage in enumerate(self.stages):
            if index > 0:
                x_BCT = self.downs[index - 1](x_BCT * weight_B1T)
                weight_B1T = weight_B1T[..., ::2]
            x_BCT = stage(x_BCT, weight_B1T)
        return self.head(x_BCT)


class SequenceDecoder(nn.Module):
    """(B, in_channels, n) -> (B, out_channels, 4 n), the mirror of SequenceEncoder.

    Args:
        in_channels, width, out_channels: channels before, inside and after.
        num_blocks: residual blocks at each of the three rates.
    """

    def __init__(self, in_channels: int, width: int, out_channels: int, num_blocks: int) -> None:
        super().__init__()
        self.stem = nn.Conv1d(in_channels, width, 3, padding=1)
        self.stages = nn.ModuleList(ResidualStack(width, num_blocks) for _ in range(3))
        self.ups = nn.ModuleList(nn.Conv1d(width, 2 * width, 3, padding=1) for _ in range(2))
        self.head = nn.Conv1d(width, out_channels, 3, padding=1)

    def forward(self, x_BCT: Tensor, weight_B1T: Tensor) -> Tensor:
        """Args: x_BCT: values; weight_B1T: float, 1 at real positions and 0 at padding."""
        x_BCT = self.stem(x_BCT * weight_B1T)
        for index, stage in enumerate(self.stages):
            if index > 0:
                x_BCT = rearrange(self.ups[index - 1](x_BCT * weight_B1T), "b (c r) t -> b c (t r)", r=2)
                weight_B1T = weight_B1T.repeat_interleave(2, dim=-1)
            x_BCT = stage(x_BCT, weight_B1T)
        return self.head(x_BCT * weight_B1T)
