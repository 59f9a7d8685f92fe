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
    """Residual blocks of growing dilation: 1, 2, 3 ...

    Args:
        width: channels.
        num_blocks: number of blocks.
    """

    def __init__(self, width: int, num_blocks: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(ResidualBlock(width, dilation=1 + index) for index in range(num_blocks))

    def forward(self, x_BCT: Tensor, weight_B1T: Tensor) -> Tensor:
        """Args: x_BCT: values; weight_B1T: float, 1 at real positions and 0 at padding."""
        for block in self.blocks:
            x_BCT = block(x_BCT, weight_B1T)
        return x_BCT


class SequenceEncoder(nn.Module):
    """(B, in_channels, stride * n) -> (B, out_channels, n): one strided convolution, then residual blocks.

    All depth is at the low rate, where it costs `stride` times less.

    Args:
        in_channels, width, out_channels: channels before, inside and after.
        num_blocks: residual blocks.
        stride: positions that become one, even.
    """

    def __init__(self, in_channels: int, width: int, out_channels: int, num_blocks: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.stem = nn.Conv1d(in_channels, width, 2 * stride, stride=stride, padding=stride // 2)
        self.body = ResidualStack(width, num_blocks)
        self.head = nn.Sequential(ChannelNorm(width), nn.Conv1d(width, out_channels, 1))

    def forward(self, x_BCT: Tensor, weight_B1T: Tensor) -> Tensor:
        """Args: x_BCT: values; weight_B1T: float, 1 at real positions and 0 at padding, at the input's rate."""
        h_BCN = self.stem(x_BCT * weight_B1T)
        return self.head(self.body(h_BCN, weight_B1T[..., :: self.stride]))


class SequenceDecoder(nn.Module):
    """(B, in_channels, n) -> (B, out_channels, stride * n), the mirror of SequenceEncoder.

    Args:
        in_channels, width, out_channels: channels before, inside and after.
        num_blocks: residual blocks.
        stride: positions that one becomes.
    """

    def __init__(self, in_channels: int, width: int, out_channels: int, num_blocks: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.stem = nn.Conv1d(in_channels, width, 3, padding=1)
        self.body = ResidualStack(width, num_blocks)
        self.norm = ChannelNorm(width)
        self.head = nn.Conv1d(width, stride * out_channels, 3, padding=1)

    def forward(self, x_BCN: Tensor, weight_B1N: Tensor) -> Tensor:
        """Args: x_BCN: values; weight_B1N: float, 1 at real positions and 0 at padding, at the input's rate."""
        h_BCN = self.body(self.stem(x_BCN * weight_B1N), weight_B1N)
        y_BCN = self.head(nn.functional.silu(self.norm(h_BCN)) * weight_B1N)
        return rearrange(y_BCN, "b (c r) n -> b c (n r)", r=self.stride)
