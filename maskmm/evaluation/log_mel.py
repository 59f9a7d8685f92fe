"""Log-mel pictures of clips, all of one size: the time axis is kept, the length and the level are not."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
import torchaudio.transforms as transforms
from numpy.typing import NDArray
from torch import Tensor

SAMPLE_RATE = 16_000
NUM_MELS, NUM_FRAMES = 40, 32
_WINDOW, _HOP = 512, 128  # 32 and 8 ms
# Nats of power, 52 dB: wide enough to keep weak fricatives ("six"), above a codec's noise floor.
_RANGE = 12.0


@functools.cache
def _mel() -> transforms.MelSpectrogram:
    return transforms.MelSpectrogram(SAMPLE_RATE, n_fft=_WINDOW, hop_length=_HOP, n_mels=NUM_MELS)


def log_mel(waveform: Tensor) -> Tensor:
    """(NUM_MELS, frames) float32, natural log of mel power over its peak, at least -_RANGE.

    Frames at either end that hold nothing above -_RANGE are left out, so padding with silence changes nothing.

    Raises:
        ValueError: not a (T,) float tensor of finite values, or no samples.
    """
    if waveform.ndim != 1 or not waveform.is_floating_point() or not len(waveform):
        raise ValueError(
            f"a clip of shape {tuple(waveform.shape)} and dtype {waveform.dtype}: expected (T,) float samples, T >= 1"
        )
    if not bool(torch.isfinite(waveform).all()):
        raise ValueError("a clip holds NaN or infinite samples; expected float samples in [-1, 1]")
    # A window of silence at both ends, so that a bare clip and the same clip within silence give the same frames.
    padded = F.pad(waveform.detach().float().cpu(), (_WINDOW, _WINDOW))
    power_MT = _mel()(padded)
    peak = power_MT.max().clamp_min(1e-10)
    logs_MT = (power_MT / peak).clamp_min(1e-10).log()
    loudest_T = logs_MT.amax(dim=0)
    heard = (loudest_T > -_RANGE).nonzero()[:, 0]
    first, last = (int(heard[0]), int(heard[-1])) if len(heard) else (0, len(loudest_T) - 1)
    return logs_MT[:, first : last + 1].clamp_min(-_RANGE)


def log_mel_features(waveforms: Sequence[Tensor]) -> NDArray[np.float32]:
    """Log-mel of each clip with its time axis stretched to NUM_FRAMES.

    Args:
        waveforms: list of (T,) float in [-1, 1] at 16 kHz.

    Returns:
        (n, NUM_MELS * NUM_FRAMES) float32; the root mean square of a difference of two rows is a distance in nats.

    Raises:
        ValueError: a clip that is empty, not one-dimensional, not float or not finite.
    """
    rows = [
        F.interpolate(log_mel(w)[None], size=NUM_FRAMES, mode="linear", align_corners=False).flatten()
        for w in waveforms
    ]
    return torch.stack(rows).numpy() if rows else np.zeros((0, NUM_MELS * NUM_FRAMES), dtype=np.float32)
