"""Speed perturbation of clips: other voices out of those there are (Ko et al., "Audio augmentation", 2015)."""

from __future__ import annotations

from fractions import Fraction

import torch
from torch import Tensor
from torchaudio.functional import resample

from tokenizers_vq.contract import Key

SPEEDS = tuple(Fraction(speed, 20) for speed in (17, 18, 19, 21, 22, 23))
"""Played this many times as fast, pitch and formants move along: 0.85 to 1.15, never the plain clip."""


def perturb_speed(waveforms: list[Tensor], key: Key, item_id: Tensor) -> list[Tensor]:
    """Each clip at a speed of its own.

    Args:
        waveforms: n clips (T,) float32.
        key: of the draw.
        item_id: (n,) int64, names the clips for hashed randomness.

    Returns:
        n clips (T / speed,) float32, clamped to [-1, 1].
    """
    choice = key.fold("speed").integers(len(SPEEDS), item_id).tolist()
    return [_at_speed(waveform, SPEEDS[index]) for waveform, index in zip(waveforms, choice)]


def _at_speed(waveform: Tensor, speed: Fraction) -> Tensor:
    # A clip that claims the rate `numerator` and is brought to `denominator` lasts 1 / speed as long.
    return torch.clamp(resample(waveform, speed.numerator, speed.denominator), -1.0, 1.0)
