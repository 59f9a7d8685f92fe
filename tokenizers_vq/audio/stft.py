"""Short-time Fourier transforms of waveforms of any length, differentiable."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad


def stft(waveforms_BT: Tensor, window_W: Tensor) -> Tensor:
    """Complex spectra (B, W / 2 + 1, ceil(T / hop)) of waveforms (B, T), hop = W / 4; silence surrounds the clips.

    Computed in float32 whatever the precision of the training: Fourier transforms in half precision overflow.

    Args:
        waveforms_BT: float.
        window_W: W a multiple of 4.
    """
    width = window_W.shape[0]
    hop = width // 4
    front = (width - hop) // 2
    back = -waveforms_BT.shape[1] % hop + width - hop - front
    with torch.autocast(waveforms_BT.device.type, enabled=False):
        padded_BT = pad(waveforms_BT.float(), (front, back))
        return torch.stft(padded_BT, width, hop, window=window_W, center=False, return_complex=True)


def check_window(window: int) -> None:
    """Raise ValueError unless windows of this many samples overlap fourfold."""
    if window < 4 or window % 4:
        raise ValueError(f"window={window}: expected a multiple of 4 samples, as windows overlap fourfold")
