"""Short-time Fourier transforms of waveforms of any length and their inverse, differentiable.

Computed in float32 whatever the precision of the training: Fourier transforms in half precision overflow.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

OVERLAP = 4  # windows that a sample lies in


def stft(waveforms_BT: Tensor, window_W: Tensor, is_causal: bool = False) -> Tensor:
    """Complex spectra (B, W / 2 + 1, ceil(T / hop)) of waveforms (B, T), hop = W / 4; silence surrounds the clips.

    Args:
        waveforms_BT: float.
        window_W: W a multiple of 4.
        is_causal: the window of frame f ends at sample (f + 1) hop; otherwise its middle is (f + 0.5) hop.
    """
    width = window_W.shape[0]
    hop = width // OVERLAP
    back = 0 if is_causal else (width - hop + 1) // 2
    margins = (width - hop - back, -waveforms_BT.shape[1] % hop + back)
    with torch.autocast(waveforms_BT.device.type, enabled=False):
        padded_BT = pad(waveforms_BT.float(), margins)
        return torch.stft(padded_BT, width, hop, window=window_W, center=False, return_complex=True)


def inverse_stft(spectra_BFN: Tensor, window_W: Tensor, is_causal: bool = False) -> Tensor:
    """Waveforms (B, hop N) of complex spectra (B, W / 2 + 1, N), hop = W / 4, by overlap and addition.

    The inverse of `stft` for Hann windows where all four windows of a sample are there. Within W - hop of the clip's
    ends some are missing and the sound fades, by the same rule in a batch of any length.

    Args:
        spectra_BFN: complex64.
        window_W: W a multiple of 4.
        is_causal: the window of frame n begins at sample n hop; otherwise its middle is (n + 0.5) hop.
    """
    width, num_frames = window_W.shape[0], spectra_BFN.shape[2]
    hop = width // OVERLAP
    # A sample's squared Hann windows sum to 1.5.
    frames_BNW = torch.fft.irfft(spectra_BFN.transpose(1, 2), n=width) * (window_W / 1.5)
    quarters = frames_BNW.unflatten(2, (OVERLAP, hop)).unbind(dim=2)
    whole_BNH = torch.stack([pad(q, (0, 0, i, OVERLAP - 1 - i)) for i, q in enumerate(quarters)]).sum(dim=0)
    first = 0 if is_causal else (width - hop) // 2
    return whole_BNH.flatten(1)[:, first : first + hop * num_frames]


def check_window(window: int) -> None:
    """Raise ValueError unless windows of this many samples overlap fourfold."""
    if window < OVERLAP or window % OVERLAP:
        raise ValueError(f"window={window}: expected a multiple of 4 samples, as windows overlap fourfold")
