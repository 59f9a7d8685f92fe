"""Corpora of small pictures that tokenizers and codecs are compared on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.rate_distortion.budget import Budget
from benchmarks.rate_distortion.quality import psnr, ssim
from datamodules.emoji_media import EmojiImages
from datamodules.photo_media import PhotoImages
from tokenizers_vq.contract import Key

_CROPS = 3000  # of the training photographs, for peers that learn from a fixed set
_QUICK = 24


@dataclass(frozen=True)
class Stills:
    """Pictures to train on and held-out ones to score.

    Attributes:
        name: corpus, size, split and count.
        data: trains a tokenizer.
        train: (n, 3, H, W) float32 in [0, 1], what a peer learns from.
        held_out: (m, 3, H, W) float32 in [0, 1].
        is_drawn: (m, 1, H, W) bool, pixels that are not plain ground; None where all count.
    """

    name: str
    data: Any
    train: Tensor
    held_out: Tensor
    is_drawn: Tensor | None = None

    def score(self, decoded: Tensor) -> dict[str, float]:
        """PSNR over drawn pixels and over all, each pooled over pixels and as the mean of the pictures, and SSIM."""
        values = psnr(decoded, self.held_out)
        if self.is_drawn is not None:
            drawn = psnr(decoded, self.held_out, self.is_drawn)
            values = {name.replace("psnr", "psnr_drawn"): value for name, value in drawn.items()} | values
        return {name: round(value, 2) for name, value in values.items()} | {
            "ssim": round(ssim(decoded, self.held_out), 4)
        }


def emoji(budget: Budget, batch_size: int, cache_dir: Path | None = None) -> Stills:
    """OpenMoji drawings of 64 x 64 on white, by the splits of the corpus."""
    data = EmojiImages(batch_size, 1, 64, budget.seed, cache_dir)
    train, test = data.corpus.images("train"), data.corpus.images("test")
    count = _QUICK if budget.is_quick else len(test.images)
    images, is_drawn = test.images[:count], test.alpha[:count] > 0
    name = f"OpenMoji 64 x 64, {count} held-out drawings"
    return Stills(name, data, train.images[: _few(budget)], images, is_drawn)


def photos(budget: Budget, batch_size: int) -> Stills:
    """64 x 64 crops of photographs, by photograph."""
    data = PhotoImages(batch_size, 1, 64, budget.seed)
    ids = torch.arange(_CROPS)[: _few(budget)]
    train = data.corpus.draw("train", Key(budget.seed).fold("peer"), ids)
    images = data.corpus.grid("test")[: _QUICK if budget.is_quick else None]
    return Stills(f"photographs 64 x 64, {len(images)} held-out crops", data, train, images)


def _few(budget: Budget) -> int | None:
    return _QUICK if budget.is_quick else None
