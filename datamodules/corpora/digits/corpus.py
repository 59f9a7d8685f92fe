"""The embedded corpus: real handwritten digits, captions, synthetic speech; split before they are paired."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from datamodules.corpora.digits import captions
from datamodules.corpora.digits.images import load_images
from datamodules.corpora.digits.speech import SAMPLE_RATE, Clips, load_or_synthesise
from datamodules.corpora.digits.voices import TIMBRES, VARIANTS, Variant
from datamodules.corpora.splits import Split, check_split, split_groups, split_items
from datamodules.pairing import ClassPairing
from tokenizers_vq.contract import Key


class ImageSet(NamedTuple):
    """Images of one split.

    Attributes:
        images: (n, 1, 32, 32) float32 in [0, 1].
        labels: (n,) int64.
        item_ids: (n,) int64, places in scikit-learn's own order.
    """

    images: Tensor
    labels: Tensor
    item_ids: Tensor


@dataclass(frozen=True)
class SpeechSet:
    """Clips of one split.

    Attributes:
        waveforms: list of (T,) float32, peak 0.9, 16 kHz.
        labels: (n,) int64.
        timbres: name of each clip's timbre; no timbre is in two splits.
        variants: how each clip was spoken.
    """

    waveforms: list[Tensor]
    labels: Tensor
    timbres: list[str]
    variants: list[Variant]


class CaptionSet(NamedTuple):
    """All captions of all digits; the grammar is closed, so every split has the same ones."""

    texts: list[str]
    labels: Tensor


@dataclass(frozen=True)
class Pairs:
    """Items of B samples, each (B,) int64: rows of `images(split)`, `captions()` and `speech(split)`."""

    label: Tensor
    image: Tensor
    caption: Tensor
    clip: Tensor


class DigitsCorpus:
    """1,797 images, 280 captions and the clips of all voices, in three splits.

    Args:
        seed: decides both splits: images by item (80/10/10 within each class), clips by timbre (80/10/10).
        cache_dir: folder for the synthesised clips; None synthesises them again for each corpus.
    """

    sample_rate: ClassVar[int] = SAMPLE_RATE

    def __init__(self, seed: int = 0, cache_dir: Path | None = None) -> None:
        self.seed = seed
        self.cache_dir = cache_dir
        self._key = Key(seed).fold("digits")

    @cached_property
    def _images(self) -> tuple[Tensor, Tensor, dict[Split, Tensor]]:
        images, labels = load_images()
        return images, labels, split_items(labels, self._key.fold("image split"))

    @cached_property
    def _clips(self) -> Clips:
        return load_or_synthesise(VARIANTS, self.cache_dir)

    @cached_property
    def timbres(self) -> dict[Split, list[str]]:
        """Timbres of each split."""
        groups = split_groups(len(TIMBRES), self._key.fold("timbre split"))
        return {split: [TIMBRES[i] for i in group.tolist()] for split, group in groups.items()}

    def images(self, split: str) -> ImageSet:
        """Images of a split.

        Raises:
            ValueError: an unknown split, or scikit-learn is not installed.
        """
        images, labels, parts = self._images
        items = parts[check_split(split)]
        return ImageSet(images[items], labels[items], items)

    def captions(self) -> CaptionSet:
        """Every caption of every digit: text `digit * num_captions + index`."""
        texts = [captions.caption(d, i) for d in range(10) for i in range(captions.num_captions)]
        return CaptionSet(texts, torch.arange(10).repeat_interleave(captions.num_captions))

    def speech(self, split: str) -> SpeechSet:
        """Clips of a split.

        Raises:
            ValueError: an unknown split, or espeakng-loader is not installed.
        """
        mine = set(self.timbres[check_split(split)])
        rows = [10 * v + d for v, variant in enumerate(VARIANTS) if variant.timbre in mine for d in range(10)]
        variants = [VARIANTS[row // 10] for row in rows]
        return SpeechSet(
            [torch.from_numpy(self._clips[row]).clone() for row in rows],
            torch.tensor(rows) % 10,
            [variant.timbre for variant in variants],
            variants,
        )

    def pairs(self, split: str, key: Key, sample_id: Tensor) -> Pairs:
        """Pair items at random within class and split: pairs agree in class, not in instance.

        Args:
            split: train, val or test.
            key: seed and step.
            sample_id: (B,) int64; a sample's items depend on the key and its own id alone.
        """
        labels = {"image": self.images(split).labels, "caption": self.captions().labels}
        labels["clip"] = self.speech(split).labels
        pairing = ClassPairing(labels, anchor="image")
        image = key.fold("image").integers(len(labels["image"]), sample_id)
        items = pairing.match(image, key, sample_id)
        return Pairs(labels["image"][image], image, items["caption"], items["clip"])
