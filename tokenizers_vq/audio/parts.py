"""What a waveform codec asks of an encoder and a decoder that are given to it."""

from __future__ import annotations

from abc import abstractmethod

from torch import Tensor, nn

from tokenizers_vq.contract import Described


class WaveformPart(Described, nn.Module):
    """An encoder or a decoder between waveforms and latents; folders describe it by its arguments.

    Attributes:
        dim: width of the latents.
        stride: samples of a latent.
    """

    dim: int
    stride: int


class WaveformToLatents(WaveformPart):
    """(B, 1, stride n) -> (B, dim, n)."""

    @abstractmethod
    def forward(self, x_B1T: Tensor, weight_B1T: Tensor) -> Tensor:
        """What lies beyond a clip's end changes none of its latents.

        Args:
            x_B1T: waveforms, float.
            weight_B1T: float, 1 at the samples of real tokens and 0 after them.
        """


class LatentsToWaveform(WaveformPart):
    """(B, dim, n) -> (B, 1, stride n)."""

    @abstractmethod
    def forward(self, x_BCN: Tensor, weight_B1N: Tensor) -> Tensor:
        """Zero after the real tokens; what lies beyond these changes nothing before.

        Args:
            x_BCN: latents, float.
            weight_B1N: float, 1 at real tokens and 0 after them.
        """

    @abstractmethod
    def last_layer(self) -> nn.Parameter:
        """The last weight before the samples, at which adaptive weights compare losses."""
