"""A discriminator that judges the complex spectrogram of a waveform.

Defossez et al., "High Fidelity Neural Audio Compression" (EnCodec, 2022), section 3.4.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from tokenizers_vq.adversarial import Discriminator, Judgement
from tokenizers_vq.audio.stft import check_window, stft


class STFTDiscriminator(Discriminator):
    """Waveforms (B, 1, T) -> logits (B, 1, frames, bands) at one resolution.

    EnCodec's multi-scale discriminator is `MultiDiscriminator([STFTDiscriminator(w) for w in (2048, 1024, 512, 256,
    128)])`.

    Args:
        window: samples of the Hann window, hop a quarter.
        width: channels.
        dilations: over time, of the layers that halve the bands.

    Raises:
        ValueError: a window that 4 does not divide, a width below 1. In use: not (B, 1, T).
    """

    window_W: Tensor

    def __init__(self, window: int = 1024, width: int = 32, dilations: Sequence[int] = (1, 2, 4)) -> None:
        super().__init__()
        check_window(window)
        if width < 1:
            raise ValueError(f"width={width} must be at least 1")
        self.register_buffer("window_W", torch.hann_window(window), persistent=False)
        layers = [_layer(2, width, (3, 9))]
        layers += [_layer(width, width, (3, 9), dilation, stride=2) for dilation in dilations]
        layers.append(_layer(width, width, (3, 3)))
        self.layers = nn.ModuleList(layers)
        self.head = _layer(width, 1, (3, 3))

    def forward(self, media: Tensor) -> Judgement:
        """Judge waveforms; features are the layers' activations."""
        if media.ndim != 3 or media.shape[1] != 1:
            raise ValueError(f"waveforms of shape {tuple(media.shape)}, expected (B, 1, T): mono")
        # Of the size of the samples, whatever the window.
        spectra_BFT = stft(media[:, 0], self.window_W) / self.window_W.square().sum().sqrt()
        h_BCTF = torch.stack([spectra_BFT.real, spectra_BFT.imag], dim=1).transpose(2, 3)
        features = []
        for layer in self.layers:
            h_BCTF = nn.functional.leaky_relu(layer(h_BCTF), 0.2)
            features.append(h_BCTF)
        return Judgement([self.head(h_BCTF)], features)


def _layer(
    in_width: int, out_width: int, kernel: tuple[int, int], dilation: int = 1, stride: int = 1
) -> nn.Module:
    """A convolution over (time, bands) that keeps the frames and divides the bands by the stride."""
    padding = (dilation * (kernel[0] // 2), kernel[1] // 2)
    conv = nn.Conv2d(in_width, out_width, kernel, (1, stride), padding, dilation=(dilation, 1))
    return weight_norm(conv)
