"""Convolutions over time whose padding is explicit: causal or centred, with exact lengths for any stride.

What lies beyond a clip's end is set to zero before every convolution: each clip of a batch gives what it gives alone.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import pad
from torch.nn.utils.parametrizations import weight_norm


class PaddedConv(nn.Module):
    """(B, in_width, stride n) -> (B, out_width, n).

    Args:
        in_width, out_width: channels.
        kernel_size: at least the stride.
        stride: positions that become one.
        dilation: of the kernel.
        is_causal: an output position sees no input after the last one that it stands for; otherwise the kernel lies
            in the middle.
        is_normed: with weight normalisation (Salimans and Kingma, 2016), as all waveform codecs have.
    """

    def __init__(
        self,
        in_width: int,
        out_width: int,
        kernel_size: int,
        stride: int = 1,
        dilation: int = 1,
        is_causal: bool = False,
        is_normed: bool = True,
    ) -> None:
        super().__init__()
        conv = nn.Conv1d(in_width, out_width, kernel_size, stride, dilation=dilation)
        self.conv = weight_norm(conv) if is_normed else conv
        total = (kernel_size - 1) * dilation + 1 - stride
        right = 0 if is_causal else total // 2
        self._margins = (total - right, right)

    def forward(self, x_BCT: Tensor, weight_B1T: Tensor) -> Tensor:
        """Args: x_BCT: values; weight_B1T: float, 1 at real positions and 0 at padding, at the input's rate."""
        return self.conv(pad(x_BCT * weight_B1T, self._margins))


class PaddedUpsampling(nn.Module):
    """(B, in_width, n) -> (B, out_width, stride n): a transposed convolution over two strides, cut to length.

    Args:
        in_width, out_width: channels.
        stride: positions that one becomes.
        is_causal: what comes of a position depends on none after it.
    """

    def __init__(self, in_width: int, out_width: int, stride: int, is_causal: bool = False) -> None:
        super().__init__()
        self.conv = weight_norm(nn.ConvTranspose1d(in_width, out_width, 2 * stride, stride), dim=1)
        self.stride = stride
        self._first = 0 if is_causal else stride - stride // 2

    def forward(self, x_BCN: Tensor, weight_B1N: Tensor) -> Tensor:
        """Args: x_BCN: values; weight_B1N: float, 1 at real positions and 0 at padding, at the input's rate."""
        y_BCT = self.conv(x_BCN * weight_B1N)
        return y_BCT[..., self._first : self._first + self.stride * x_BCN.shape[-1]]


class Snake(nn.Module):
    """x + sin(a x)^2 / a with a learned a for each channel: takes to periodic signals.

    Ziyin, Hartwig and Ueda, "Neural Networks Fail to Learn Periodic Functions and How to Fix It" (2020).

    Args:
        width: channels.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.frequency = nn.Parameter(torch.ones(width, 1))

    def forward(self, x_BCT: Tensor) -> Tensor:
        """(B, C, T) -> (B, C, T)."""
        return x_BCT + (self.frequency * x_BCT).sin().square() / (self.frequency + 1e-9)


def activation(name: str, width: int) -> nn.Module:
    """The activation "snake" (DAC) or "elu" (SoundStream, EnCodec) of `width` channels.

    Raises:
        ValueError: another name.
    """
    if name == "snake":
        return Snake(width)
    if name == "elu":
        return nn.ELU()
    raise ValueError(f"activation={name!r}: expected 'snake' or 'elu'")
