"""Waveforms to latents and back by convolutions alone.

The SEANet of SoundStream (Zeghidour et al., 2021) and EnCodec (Defossez et al., 2022), and with dilated units and Snake
that of DAC (Kumar et al., 2023).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from tokenizers_vq.layers.padded_convolution import PaddedConv, PaddedUpsampling, activation

_EDGE = 7  # kernel of the first and last convolution


@dataclass(frozen=True)
class SeanetConfig:
    """What encoder and decoder share.

    Attributes:
        strides: of the encoder, first to last; the decoder goes back from the last.
        kernel_size: of the residual units.
        dilations: one residual unit each, at every rate.
        squeeze: a unit's width is divided by it between its convolutions.
        num_recurrent: layers of an LSTM at the latents' rate, 0 for none. It looks at the past alone.
        activation: "snake" or "elu".
        is_causal: nothing depends on what comes after its own token.
    """

    strides: tuple[int, ...]
    kernel_size: int
    dilations: tuple[int, ...]
    squeeze: int
    num_recurrent: int
    activation: str
    is_causal: bool


class ResidualUnit(nn.Module):
    """Activation and dilated convolution, activation and convolution of 1, beside a skip.

    Args:
        width: channels.
        dilation: of the first convolution.
        config: the rest.
    """

    def __init__(self, width: int, dilation: int, config: SeanetConfig) -> None:
        super().__init__()
        hidden = max(1, width // config.squeeze)
        self.act_1, self.act_2 = activation(config.activation, width), activation(config.activation, hidden)
        self.conv_1 = PaddedConv(
            width, hidden, config.kernel_size, dilation=dilation, is_causal=config.is_causal
        )
        self.conv_2 = PaddedConv(hidden, width, 1)

    def forward(self, x_BCT: Tensor, weight_B1T: Tensor) -> Tensor:
        """Args: x_BCT: values; weight_B1T: float, 1 at real positions and 0 at padding."""
        h_BCT = self.conv_1(self.act_1(x_BCT), weight_B1T)
        return x_BCT + self.conv_2(self.act_2(h_BCT), weight_B1T)


class Recurrence(nn.Module):
    """An LSTM beside a skip; keeps the shape.

    Args:
        width: channels.
        num_layers: of the LSTM.
    """

    def __init__(self, width: int, num_layers: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(width, width, num_layers, batch_first=True)

    def forward(self, x_BCN: Tensor) -> Tensor:
        """(B, C, N) -> (B, C, N); padding comes after all that is real, and so changes none of it."""
        y_BNC, _ = self.lstm(x_BCN.transpose(1, 2))
        return x_BCN + y_BNC.transpose(1, 2)


class WaveformEncoder(nn.Module):
    """(B, 1, stride n) -> (B, out_width, n).

    Args:
        width: channels at the waveform's rate, doubled at each stride.
        out_width: of the latents.
        config: the rest.
    """

    def __init__(self, width: int, out_width: int, config: SeanetConfig) -> None:
        super().__init__()
        causal = config.is_causal
        self.strides = config.strides
        self.stem = PaddedConv(1, width, _EDGE, is_causal=causal)
        self.units, self.acts, self.downs = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for stride in config.strides:
            self.units.append(_units(width, config.dilations, config))
            self.acts.append(activation(config.activation, width))
            self.downs.append(PaddedConv(width, 2 * width, 2 * stride, stride, is_causal=causal))
            width *= 2
        self.recurrence = _recurrence(width, config)
        self.act = activation(config.activation, width)
        self.head = PaddedConv(width, out_width, 3, is_causal=causal)

    def forward(self, x_B1T: Tensor, weight_B1T: Tensor) -> Tensor:
        """Args: x_B1T: waveforms; weight_B1T: float, 1 at the samples of real tokens and 0 after them."""
        h_BCT = self.stem(x_B1T, weight_B1T)
        for stride, units, act, down in zip(self.strides, self.units, self.acts, self.downs):
            for unit in _modules(units):
                h_BCT = unit(h_BCT, weight_B1T)
            h_BCT = down(act(h_BCT), weight_B1T)
            weight_B1T = weight_B1T[..., ::stride]
        return self.head(self.act(self.recurrence(h_BCT)), weight_B1T)


class WaveformDecoder(nn.Module):
    """(B, in_width, n) -> (B, 1, stride n), the mirror of WaveformEncoder.

    Args:
        in_width: of the latents.
        width: channels at the latents' rate, halved at each stride.
        config: the rest.
    """

    def __init__(self, in_width: int, width: int, config: SeanetConfig) -> None:
        super().__init__()
        causal = config.is_causal
        self.strides = config.strides[::-1]
        self.stem = PaddedConv(in_width, width, _EDGE, is_causal=causal)
        self.recurrence = _recurrence(width, config)
        self.acts, self.ups, self.units = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for stride in self.strides:
            self.acts.append(activation(config.activation, width))
            self.ups.append(PaddedUpsampling(width, width // 2, stride, is_causal=causal))
            width //= 2
            self.units.append(_units(width, config.dilations, config))
        self.act = activation(config.activation, width)
        # A plain weight: adaptive weights compare losses by their gradients at it.
        self.head = PaddedConv(width, 1, _EDGE, is_causal=causal, is_normed=False)

    def forward(self, x_BCN: Tensor, weight_B1N: Tensor) -> Tensor:
        """Args: x_BCN: latents; weight_B1N: float, 1 at real tokens and 0 after them. Zero after the real tokens."""
        h_BCT, weight_B1T = self.recurrence(self.stem(x_BCN, weight_B1N)), weight_B1N
        for stride, act, up, units in zip(self.strides, self.acts, self.ups, self.units):
            h_BCT = up(act(h_BCT), weight_B1T)
            weight_B1T = weight_B1T.repeat_interleave(stride, dim=-1)
            for unit in _modules(units):
                h_BCT = unit(h_BCT, weight_B1T)
        return self.head(self.act(h_BCT), weight_B1T) * weight_B1T

    def last_layer(self) -> nn.Parameter:
        """Weight of the last convolution."""
        weight = self.head.conv.weight
        assert isinstance(weight, nn.Parameter)
        return weight


def _units(width: int, dilations: Sequence[int], config: SeanetConfig) -> nn.ModuleList:
    return nn.ModuleList(ResidualUnit(width, dilation, config) for dilation in dilations)


def _recurrence(width: int, config: SeanetConfig) -> nn.Module:
    return Recurrence(width, config.num_recurrent) if config.num_recurrent else nn.Identity()


def _modules(units: nn.Module) -> list[nn.Module]:
    return list(units.children())
