"""Synthetic speech of the digit words, cached with what it was made from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torchaudio.functional as audio
from numpy.typing import NDArray

from datamodules.corpora.cache import Arrays, load_or_make, package_version
from datamodules.corpora.digits.captions import WORDS
from datamodules.corpora.digits.voices import Variant
from datamodules.corpora.espeak import Espeak

SAMPLE_RATE = 16_000
PEAK = 0.9
FORMAT_VERSION = 1
_SILENCE, _MARGIN_S = 0.02, 0.005


@dataclass(frozen=True)
class Clips:
    """Clips end to end: clip i is `samples[offsets[i]:offsets[i + 1]]`, float32 in [-0.9, 0.9] at 16 kHz."""

    samples: NDArray[np.float32]
    offsets: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> NDArray[np.float32]:
        return self.samples[self.offsets[index] : self.offsets[index + 1]]


def clean(waveform: NDArray[np.float32], sample_rate: int) -> NDArray[np.float32]:
    """Resample to 16 kHz, cut silence at both ends (below 2 % of the peak, 5 ms kept), scale the peak to 0.9.

    Args:
        waveform: (T,) float32.
        sample_rate: its samples a second.

    Raises:
        ValueError: nothing but silence.
    """
    resampled = audio.resample(torch.from_numpy(waveform), sample_rate, SAMPLE_RATE).numpy()
    peak = float(np.abs(resampled).max(initial=0.0))
    if peak == 0.0:
        raise ValueError(f"a clip of {len(waveform)} samples holds only silence; expected speech")
    loud = np.flatnonzero(np.abs(resampled) > _SILENCE * peak)
    margin = int(_MARGIN_S * SAMPLE_RATE)
    trimmed = resampled[max(int(loud[0]) - margin, 0) : int(loud[-1]) + 1 + margin]
    return (trimmed * (PEAK / peak)).astype(np.float32)


def synthesise(variants: Sequence[Variant]) -> Clips:
    """Speak the ten digit words with each variant: clip `10 * v + digit`.

    One fresh synthesiser and one fixed order: the result depends on the list of variants alone.

    Raises:
        ValueError: espeakng-loader is not installed.
    """
    clips: list[NDArray[np.float32]] = []
    with Espeak() as espeak:
        for variant in variants:
            for word in WORDS:
                raw = espeak.say(word, variant.voice, variant.rate, variant.pitch)
                clips.append(clean(raw, espeak.sample_rate))
    offsets = np.zeros(len(clips) + 1, dtype=np.int64)
    np.cumsum([len(clip) for clip in clips], out=offsets[1:])
    return Clips(np.concatenate(clips), offsets)


def load_or_synthesise(variants: Sequence[Variant], cache_dir: Path | None) -> Clips:
    """Clips of all variants, from the cache file where it holds exactly these.

    Args:
        variants: voices to speak with.
        cache_dir: folder of the cache file `digits-speech-<hash>.safetensors`; None synthesises anew.

    Raises:
        ValueError: the cache file is corrupt, or espeakng-loader is needed and absent.
    """
    description = {
        "format_version": str(FORMAT_VERSION),
        "espeakng_loader": package_version("espeakng-loader"),
        "seed": "1",
        "variants": hashlib.sha256(json.dumps(list(variants)).encode()).hexdigest(),
    }

    def make() -> Arrays:
        clips = synthesise(variants)
        return {"samples": clips.samples, "offsets": clips.offsets}

    arrays = load_or_make("digits-speech", description, make, cache_dir)
    return Clips(arrays["samples"], arrays["offsets"])
