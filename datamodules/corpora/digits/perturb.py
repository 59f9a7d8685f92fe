"""Other voices out of those there are: clips at other speeds (Ko et al., "Audio augmentation", 2015), filtered."""

from __future__ import annotations

from fractions import Fraction

import torch
from torch import Tensor
from torchaudio.functional import resample

from tokenizers_vq.contract import Key

SPEEDS = tuple(Fraction(speed, 20) for speed in (17, 18, 19, 20, 21, 22, 23))
"""Played this many times as fast, pitch and formants move along: 0.85 to 1.15."""

_BANDS = 8
_MOST_DB = 10.0


def perturb_voices(waveforms: list[Tensor], key: Key, clip_id: Tensor) -> list[Tensor]:
    """Each clip at a speed and through a filter of its own.

    The filter's gain is drawn between -10 and 10 dB at 8 frequencies, evenly spaced on the mel scale, and
    interpolated between them: spectral tilt and formants' strengths differ between speakers alike.

    Args:
        waveforms: n clips (T,) float32.
        key: of the draws.
        clip_id: (n,) int64, names the clips for hashed randomness.

    Returns:
        n clips (T / speed,) float32, each with the peak of its original.
    """
    speeds = key.fold("speed").integers(len(SPEEDS), clip_id).tolist()
    uniform_NG = key.fold("filter").uniform(clip_id[:, None], torch.arange(_BANDS)[None])
    gains_NG = _MOST_DB * (2 * uniform_NG.float() - 1)
    return [
        _filtered(_at_speed(waveform, SPEEDS[index]), gains_G, waveform.abs().amax())
        for waveform, index, gains_G in zip(waveforms, speeds, gains_NG)
    ]


def _at_speed(waveform: Tensor, speed: Fraction) -> Tensor:
    # A clip that claims the rate `numerator` and is brought to `denominator` lasts 1 / speed as long.
    return resample(waveform, speed.numerator, speed.denominator)


def _filtered(waveform: Tensor, gains_G: Tensor, peak: Tensor) -> Tensor:
    spectrum_F = torch.fft.rfft(waveform)
    # 0 to 8 kHz; the mel scale, so that bands are as wide as hearing's.
    mel_F = torch.log1p(torch.linspace(0, 8000, len(spectrum_F)) / 700)
    place_F = mel_F / mel_F[-1] * (len(gains_G) - 1)
    low_F = place_F.long().clamp(max=len(gains_G) - 2)
    share_F = place_F - low_F
    gain_F = torch.lerp(gains_G[low_F], gains_G[low_F + 1], share_F)
    filtered = torch.fft.irfft(spectrum_F * 10 ** (gain_F / 20), n=len(waveform))
    return filtered * (peak / filtered.abs().amax().clamp(min=1e-6))
