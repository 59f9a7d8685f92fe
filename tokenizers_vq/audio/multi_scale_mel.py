"""Waveforms that have the right spectrogram at every resolution of time and pitch.

Kumar et al., "High-Fidelity Audio Compression with Improved RVQGAN" (DAC, 2023), section 3.5.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torchaudio.functional as audio
from torch import Tensor, nn

from tokenizers_vq.audio.stft import check_window, stft
from tokenizers_vq.comparison import Comparison


class MultiScaleMel(Comparison):
    """Mean absolute difference of log10 mel spectrograms of several windows, summed over these.

    Silence after the end of a clip counts as silence: batches of clips of similar lengths lose the least.

    Args:
        rate: samples per second.
        windows: samples of each Hann window, hop a quarter.
        num_mels: bands of each window's bank, from 0 to rate / 2 (HTK scale).
        weight: of the loss; DAC takes 15 where the adversarial loss has 1.
        floor: smallest magnitude that is told from silence.

    Raises:
        ValueError: lists of different lengths or empty, windows that 4 does not divide. In use: not (B, 1, T).
    """

    def __init__(
        self,
        rate: int = 16_000,
        windows: Sequence[int] = (32, 64, 128, 256, 512, 1024, 2048),
        num_mels: Sequence[int] = (5, 10, 20, 40, 80, 160, 320),
        weight: float = 15.0,
        floor: float = 1e-5,
    ) -> None:
        super().__init__()
        if not windows or len(windows) != len(num_mels):
            raise ValueError(
                f"windows={tuple(windows)}, num_mels={tuple(num_mels)}: expected as many of both, at least one"
            )
        self.weight, self.floor, self._num_scales = weight, floor, len(windows)
        for index, (window, mels) in enumerate(zip(windows, num_mels)):
            check_window(window)
            bank_FM = audio.melscale_fbanks(window // 2 + 1, 0.0, rate / 2, mels, rate)
            # Constants of the arguments: not part of a checkpoint.
            self.register_buffer(f"window_{index}", torch.hann_window(window), persistent=False)
            self.register_buffer(f"bank_{index}", bank_FM, persistent=False)

    def forward(self, reconstruction: Tensor, target: Tensor) -> Tensor:
        """Weighted scalar of waveforms (B, 1, T)."""
        return self.weight * self.distance(reconstruction, target)

    def distance(self, reconstruction: Tensor, target: Tensor) -> Tensor:
        """Unweighted scalar of waveforms (B, 1, T): a measure of codecs.

        Raises:
            ValueError: other shapes.
        """
        if reconstruction.shape != target.shape or target.ndim != 3 or target.shape[1] != 1:
            raise ValueError(
                f"waveforms of shapes {tuple(reconstruction.shape)} and {tuple(target.shape)}, expected (B, 1, T) twice"
            )
        distances = []
        for index in range(self._num_scales):
            mine, right = (self._log_mel(x[:, 0], index) for x in (reconstruction, target))
            distances.append(nn.functional.l1_loss(mine, right))
        return torch.stack(distances).sum()

    def _log_mel(self, x_BT: Tensor, index: int) -> Tensor:
        spectra_BFT = stft(x_BT, self.get_buffer(f"window_{index}"))
        # The size of a complex 0 has no gradient; a power below the floor's square changes nothing.
        power_BFT = spectra_BFT.real.square() + spectra_BFT.imag.square()
        size_BFT = power_BFT.clamp(min=self.floor**2 * 1e-4).sqrt()
        # Sums of magnitudes six decades apart: half precision would lose the quiet ones.
        with torch.autocast(x_BT.device.type, enabled=False):
            mel_BMT = self.get_buffer(f"bank_{index}").t() @ size_BFT
        return mel_BMT.clamp(min=self.floor).log10()
