"""Spoken captions: synthetic, by voices of which none is in two splits."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from datamodules.corpora.actions.captions import CAPTIONS
from datamodules.corpora.cache import Arrays, load_or_make, package_version
from datamodules.corpora.digits.speech import SAMPLE_RATE, Clips, clean
from datamodules.corpora.digits.voices import TIMBRES, VARIANTS, Variant
from datamodules.corpora.espeak import Espeak
from datamodules.corpora.splits import Split, check_split, split_groups
from tokenizers_vq.contract import Key

VOICES_PER_CAPTION: dict[Split, int] = {"train": 3, "val": 1, "test": 1}
FORMAT_VERSION = 1


def speak(texts: Sequence[str], variants: Sequence[Variant]) -> Clips:
    """Each text by the variant beside it, in one fixed order with one fresh synthesiser.

    Args:
        texts: what to say.
        variants: who says it.

    Returns:
        A clip for each text, float32 at 16 kHz, silence trimmed, peak 0.9.

    Raises:
        ValueError: espeakng-loader is not installed.
    """
    clips = []
    with Espeak() as espeak:
        for text, variant in zip(texts, variants):
            raw = espeak.say(text, variant.voice, variant.rate, variant.pitch)
            clips.append(clean(raw, espeak.sample_rate))
    offsets = np.zeros(len(clips) + 1, dtype=np.int64)
    np.cumsum([len(clip) for clip in clips], out=offsets[1:])
    return Clips(np.concatenate(clips), offsets)


@dataclass(frozen=True)
class SpokenCaption:
    """A clip.

    Attributes:
        waveform: (T,) float32, peak 0.9, 16 kHz.
        variant: how it was spoken.
    """

    waveform: Tensor
    variant: Variant


class SpokenCaptions:
    """Every caption in some voices of each split.

    Args:
        seed: decides the split of the timbres (80/10/10) and which of its voices speak a caption.
        cache_dir: folder of the cache files `actions-speech-<hash>.safetensors`; None synthesises anew.
    """

    sample_rate = SAMPLE_RATE

    def __init__(self, seed: int, cache_dir: Path | None = None) -> None:
        self.cache_dir = cache_dir
        self._key = Key(seed).fold("actions").fold("speech")
        self._spoken: dict[Split, tuple[Clips, list[Variant]]] = {}

    @cached_property
    def timbres(self) -> dict[Split, list[str]]:
        """Timbres of each split."""
        groups = split_groups(len(TIMBRES), self._key.fold("timbres"))
        return {split: [TIMBRES[i] for i in group.tolist()] for split, group in groups.items()}

    def variants(self, split: str) -> list[Variant]:
        """Who speaks: clip `caption * VOICES_PER_CAPTION[split] + i`.

        Raises:
            ValueError: an unknown split.
        """
        known = check_split(split)
        voices = [variant for variant in VARIANTS if variant.timbre in self.timbres[known]]
        clip = torch.arange(len(CAPTIONS) * VOICES_PER_CAPTION[known])
        return [voices[i] for i in self._key.fold(known).integers(len(voices), clip).tolist()]

    def clip(self, split: str, caption: int, key: Key, sample_id: int) -> SpokenCaption:
        """One of the recordings of a caption.

        Args:
            split: train, val or test.
            caption: its place in `captions.CAPTIONS`.
            key: seed and step.
            sample_id: decides the voice, together with the key.

        Raises:
            ValueError: an unknown split, or espeakng-loader is not installed.
        """
        known = check_split(split)
        if known not in self._spoken:
            self._spoken[known] = self._load(known)
        clips, variants = self._spoken[known]
        each = VOICES_PER_CAPTION[known]
        row = caption * each + int(key.fold("voice").integers(each, torch.tensor(sample_id)))
        return SpokenCaption(torch.from_numpy(clips[row]).clone(), variants[row])

    def _load(self, split: Split) -> tuple[Clips, list[Variant]]:
        texts = [text for text in CAPTIONS for _ in range(VOICES_PER_CAPTION[split])]
        variants = self.variants(split)
        plan = json.dumps([[text, *variant] for text, variant in zip(texts, variants)])
        description = {
            "format_version": str(FORMAT_VERSION),
            "espeakng_loader": package_version("espeakng-loader"),
            "spoken": hashlib.sha256(plan.encode()).hexdigest(),
        }

        def make() -> Arrays:
            clips = speak(texts, variants)
            return {"samples": clips.samples, "offsets": clips.offsets}

        arrays = load_or_make("actions-speech", description, make, self.cache_dir)
        return Clips(arrays["samples"], arrays["offsets"]), variants
