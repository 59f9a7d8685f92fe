"""Encoder and decoder of waveforms that work at the rate of spectrogram frames, and leave the samples to Fourier.

Ten or more times cheaper than convolutions over samples, which makes them the ones to train on a CPU. The decoder is
that of Siuzdak, "Vocos: Closing the gap between time-domain and Fourier-based neural vocoders" (2023).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from tokenizers_vq.audio.parts import LatentsToWaveform, WaveformToLatents
from tokenizers_vq.audio.stft import OVERLAP, inverse_stft, stft
from tokenizers_vq.layers.convnext import ConvNeXtStack

_QUIETEST = 1e-4  # magnitude told from silence, of spectra of the samples' size
_LOUDEST = math.log(30.0)
_FIRST = -5.0  # log magnitude at the start: near silence, so that the first losses are of the right size


class FourierEncoder(WaveformToLatents):
    """Complex spectra (log magnitude; real and imaginary part over its root), ConvNeXt blocks, latents.

    Args:
        dim: width of the latents.
        stride: samples of a latent.
        frames: spectrogram frames of a latent; windows are four hops of stride / frames samples.
        width: channels of the blocks.
        depth: blocks.
        kernel_size, expansion: of each block.
        is_causal: a latent depends on no sample after its own.

    Raises:
        ValueError: sizes below 1, frames that do not divide the stride, an even kernel.
    """

    window_W: Tensor

    def __init__(
        self,
        dim: int,
        stride: int = 320,
        frames: int = 2,
        width: int = 192,
        depth: int = 4,
        kernel_size: int = 7,
        expansion: int = 3,
        is_causal: bool = False,
    ) -> None:
        super().__init__()
        hop = _checked_hop(dim, stride, frames, width, depth, kernel_size, expansion)
        self.dim, self.stride, self.frames, self.hop, self.is_causal = dim, stride, frames, hop, is_causal
        # A constant of the arguments: not part of a checkpoint.
        self.register_buffer("window_W", torch.hann_window(OVERLAP * hop), persistent=False)
        self.stem = nn.Linear(3 * (2 * hop + 1), width)
        self.body = ConvNeXtStack(width, depth, kernel_size, expansion, is_causal)
        self.head = nn.Linear(frames * width, dim)

    def forward(self, x_B1T: Tensor, weight_B1T: Tensor) -> Tensor:
        """See WaveformToLatents."""
        spectra_BFN = stft((x_B1T * weight_B1T)[:, 0], self.window_W, self.is_causal)
        spectra_BFN = spectra_BFN / self.window_W.square().sum().sqrt()
        size_BFN = (spectra_BFN.abs().square() + _QUIETEST**2).sqrt()
        bent_BFN = spectra_BFN / size_BFN.sqrt()
        x_BNC = torch.cat([size_BFN.log() / 4, bent_BFN.real, bent_BFN.imag], dim=1).transpose(1, 2)
        h_BNC = self.body(self.stem(x_BNC), weight_B1T[..., :: self.hop].transpose(1, 2))
        return self.head(h_BNC.unflatten(1, (-1, self.frames)).flatten(2)).transpose(1, 2)


class FourierDecoder(LatentsToWaveform):
    """Latents, ConvNeXt blocks, magnitude and phase of each frame, inverse Fourier transform.

    Args:
        dim, stride, frames, width, depth, kernel_size, expansion: see FourierEncoder.
        is_causal: a sample depends on no latent after its own.

    Raises:
        ValueError: see FourierEncoder.
    """

    window_W: Tensor

    def __init__(
        self,
        dim: int,
        stride: int = 320,
        frames: int = 2,
        width: int = 192,
        depth: int = 6,
        kernel_size: int = 7,
        expansion: int = 3,
        is_causal: bool = False,
    ) -> None:
        super().__init__()
        hop = _checked_hop(dim, stride, frames, width, depth, kernel_size, expansion)
        self.dim, self.stride, self.frames, self.is_causal = dim, stride, frames, is_causal
        self.register_buffer("window_W", torch.hann_window(OVERLAP * hop), persistent=False)
        self.stem = nn.Linear(dim, frames * width)
        self.body = ConvNeXtStack(width, depth, kernel_size, expansion, is_causal)
        self.head = nn.Linear(width, 2 * (2 * hop + 1))
        nn.init.constant_(self.head.bias[: 2 * hop + 1], _FIRST)

    def forward(self, x_BCN: Tensor, weight_B1N: Tensor) -> Tensor:
        """See LatentsToWaveform."""
        weight_BN1 = weight_B1N.repeat_interleave(self.frames, dim=-1).transpose(1, 2)
        h_BNC = self.stem(x_BCN.transpose(1, 2)).unflatten(2, (self.frames, -1)).flatten(1, 2)
        said_BNF = self.head(self.body(h_BNC, weight_BN1)).float()
        log_size_BNF, phase_BNF = said_BNF.chunk(2, dim=-1)
        size_BNF = log_size_BNF.clamp(max=_LOUDEST).exp() * weight_BN1
        size_BNF = size_BNF * self.window_W.square().sum().sqrt()
        spectra_BFN = torch.polar(size_BNF, phase_BNF).transpose(1, 2)
        y_BT = inverse_stft(spectra_BFN, self.window_W, self.is_causal)
        return y_BT[:, None] * weight_B1N.repeat_interleave(self.stride, dim=-1)

    def last_layer(self) -> nn.Parameter:
        """Weight that makes magnitude and phase."""
        weight = self.head.weight
        assert isinstance(weight, nn.Parameter)
        return weight


def _checked_hop(
    dim: int, stride: int, frames: int, width: int, depth: int, kernel_size: int, expansion: int
) -> int:
    """Samples from frame to frame."""
    if min(dim, stride, frames, width, depth, kernel_size, expansion) < 1 or kernel_size % 2 == 0:
        raise ValueError(
            f"dim={dim}, stride={stride}, frames={frames}, width={width}, depth={depth}, kernel_size={kernel_size}, "
            f"expansion={expansion}: expected numbers from 1 and an odd kernel"
        )
    if stride % frames:
        raise ValueError(f"stride={stride}, frames={frames}: expected as many samples for each frame")
    return stride // frames
