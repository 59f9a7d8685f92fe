"""Waveform <-> log-mel spectrogram; back by Griffin-Lim with momentum (Perraudin et al., 2013)."""

from __future__ import annotations

import torch
import torchaudio.functional as audio
from torch import Tensor, nn

_MOMENTUM = 0.99


class LogMel(nn.Module):
    """Log-mel spectrogram of normalised scale and its approximate inverse.

    Frame f is centred on sample (f + 0.5) * hop, and silence surrounds a clip, so that what follows a clip never
    changes it and T samples give exactly T / hop frames.

    Args:
        rate: samples per second.
        hop: samples from frame to frame.
        window: samples of the Hann window, and of the Fourier transform.
        num_mels: mel bands from 0 to rate / 2 (HTK scale).
        floor: smallest magnitude that is told from silence.
        griffin_lim_steps: iterations of the inverse.
    """

    window_W: Tensor
    bank_FM: Tensor
    inverse_MF: Tensor

    def __init__(
        self,
        rate: int = 16_000,
        hop: int = 160,
        window: int = 512,
        num_mels: int = 80,
        floor: float = 0.03,
        griffin_lim_steps: int = 32,
    ) -> None:
        super().__init__()
        self.hop, self.window, self.griffin_lim_steps = hop, window, griffin_lim_steps
        self._log_floor = float(torch.log(torch.tensor(floor)))
        bank_FM = audio.melscale_fbanks(window // 2 + 1, 0.0, rate / 2, num_mels, rate)
        # Constants of the arguments: not part of a checkpoint.
        self.register_buffer("window_W", torch.hann_window(window), persistent=False)
        self.register_buffer("bank_FM", bank_FM, persistent=False)
        self.register_buffer("inverse_MF", torch.linalg.pinv(bank_FM), persistent=False)

    @torch.no_grad()
    def forward(self, waveforms_BT: Tensor) -> Tensor:
        """(B, T) float32, T a multiple of hop -> (B, num_mels, T / hop), about -1 (silence) to 1 (loud)."""
        margin = (self.window - self.hop) // 2
        padded = nn.functional.pad(waveforms_BT, (margin, margin))
        spectrum = torch.stft(
            padded, self.window, self.hop, window=self.window_W, center=False, return_complex=True
        )
        mel_BMT = torch.einsum("bft,fm->bmt", spectrum.abs(), self.bank_FM)
        return mel_BMT.log().clamp(min=self._log_floor) / (-self._log_floor)

    @torch.no_grad()
    def invert(self, log_mel_BMT: Tensor) -> Tensor:
        """(B, num_mels, T / hop) -> waveforms (B, T) float32 in [-1, 1].

        The phase starts at zero, so the same spectrogram always gives the same sound.
        """
        mel_BMT = torch.exp(log_mel_BMT * -self._log_floor)
        # What the floor hides is silence, not noise at the level of the floor.
        mel_BMT = torch.where(log_mel_BMT > -1, mel_BMT, 0.0)
        magnitude_BFT = torch.einsum("bmt,mf->bft", mel_BMT, self.inverse_MF).clamp(min=1e-5)
        # Griffin-Lim centres its first frame on its first sample: half a hop of silence on both sides is ours.
        sound_BT = audio.griffinlim(
            magnitude_BFT,
            window=self.window_W,
            n_fft=self.window,
            hop_length=self.hop,
            win_length=self.window,
            power=1.0,
            n_iter=self.griffin_lim_steps,
            momentum=_MOMENTUM,
            length=None,
            rand_init=False,
        )
        return nn.functional.pad(sound_BT, (self.hop // 2, self.hop - self.hop // 2)).clamp(-1, 1)
