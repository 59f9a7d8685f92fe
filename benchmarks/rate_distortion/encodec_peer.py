"""EnCodec's encoder and decoder of transformers, from random weights, as parts of a codec that can be trained.

transformers' class has no training: its convolutions and LSTM are taken as they are, and our residual quantizer and
losses train them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from transformers import EncodecConfig, EncodecModel

from benchmarks.rate_distortion.sounds import RATE
from tokenizers_vq.audio.codec import WaveformCodec
from tokenizers_vq.audio.parts import LatentsToWaveform, WaveformToLatents
from tokenizers_vq.quantizers import Quantizer

_STRIDES = (2, 4, 5, 8)


class EncodecEncoder(WaveformToLatents):
    """Args: dim: width of the latents; num_filters: channels at the waveform's rate."""

    def __init__(self, dim: int, num_filters: int) -> None:
        super().__init__()
        self.dim, self.stride = dim, math.prod(_STRIDES)
        self.body = _model(dim, num_filters).encoder

    def forward(self, x_B1T: Tensor, weight_B1T: Tensor) -> Tensor:
        """See WaveformToLatents; causal but for its mirrored start, which clips of 7 tokens or more fill themselves."""
        latents: Tensor = self.body(x_B1T * weight_B1T)
        return latents


class EncodecDecoder(LatentsToWaveform):
    """Args: dim, num_filters: see EncodecEncoder."""

    def __init__(self, dim: int, num_filters: int) -> None:
        super().__init__()
        self.dim, self.stride = dim, math.prod(_STRIDES)
        self.body = _model(dim, num_filters).decoder

    def forward(self, x_BCN: Tensor, weight_B1N: Tensor) -> Tensor:
        """See LatentsToWaveform."""
        sound: Tensor = self.body(x_BCN * weight_B1N)
        return sound * weight_B1N.repeat_interleave(self.stride, dim=-1)

    def last_layer(self) -> nn.Parameter:
        """Direction of the last convolution's weight."""
        return [parameter for name, parameter in self.body.named_parameters() if "original1" in name][-1]


def encodec(quantizer: Quantizer, max_length: int, num_filters: int = 32) -> WaveformCodec:
    """EnCodec at 16 kHz and 50 tokens a second around a quantizer; EnCodec's own width is 32 filters."""
    parts: Sequence[Any] = [part(quantizer.dim, num_filters) for part in (EncodecEncoder, EncodecDecoder)]
    return WaveformCodec(
        quantizer, RATE, max_length, strides=_STRIDES, is_causal=True, encoder=parts[0], decoder=parts[1]
    )


def _model(dim: int, num_filters: int) -> Any:
    return EncodecModel(
        EncodecConfig(
            sampling_rate=RATE,
            upsampling_ratios=list(_STRIDES[::-1]),
            hidden_size=dim,
            codebook_dim=dim,
            num_filters=num_filters,
        )
    )
