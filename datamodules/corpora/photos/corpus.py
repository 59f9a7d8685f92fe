"""The photos corpus: square crops of photographs at two scales, split by photograph."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from datamodules.corpora.photos.photographs import PHOTOGRAPHS, load
from datamodules.corpora.splits import check_split
from tokenizers_vq.contract import Key

SHRINKS = (1, 2)  # each photograph as it is, and at half its size


class PhotoCrops:
    """Crops of 17 photographs; no photograph is in two splits.

    Args:
        size: pixels of a side.

    Raises:
        ValueError: a size below 1, or larger than a photograph.
    """

    def __init__(self, size: int = 64) -> None:
        if size < 1:
            raise ValueError(f"size={size} pixels, expected at least 1")
        self.size = size

    def pictures(self, split: str) -> tuple[Tensor, ...]:
        """Every photograph of a split at every scale, (3, H, W) uint8.

        Raises:
            ValueError: an unknown split, a package of the corpora extra is not installed, a photograph smaller than
                a crop.
        """
        pictures = _pictures(split)
        smallest = min(min(picture.shape[1:]) for picture in pictures)
        if smallest < self.size:
            raise ValueError(f"size={self.size} pixels, expected at most {smallest}, a side of a photograph")
        return pictures

    def grid(self, split: str) -> Tensor:
        """(n, 3, size, size) float32 in [0, 1]: all pictures of a split in tiles side by side, rests left out."""
        size = self.size
        tiles = [
            picture.unfold(1, size, size).unfold(2, size, size).permute(1, 2, 0, 3, 4).flatten(0, 1)
            for picture in self.pictures(split)
        ]
        return torch.cat(tiles).float() / 255

    def draw(self, split: str, key: Key, sample_id: Tensor) -> Tensor:
        """(B, 3, size, size) float32 in [0, 1]: crops anywhere in a split's pictures, half of them mirrored.

        Args:
            split: train, val or test.
            key: seed.
            sample_id: (B,) int64; a crop depends on the key and its own id alone. Every picture is as likely as any.
        """
        pictures = self.pictures(split)
        which_B = key.fold("picture").integers(len(pictures), sample_id)
        place_B3 = key.fold("place").uniform(sample_id[:, None], torch.arange(3))
        crops = [self._crop(pictures[i], *p) for i, p in zip(which_B.tolist(), place_B3.tolist())]
        return torch.stack(crops).float() / 255

    def _crop(self, picture: Tensor, y: float, x: float, turn: float) -> Tensor:
        top, left = (int(p * (s - self.size + 1)) for p, s in zip((y, x), picture.shape[1:]))
        crop = picture[:, top : top + self.size, left : left + self.size]
        return crop.flip(2) if turn < 0.5 else crop


@cache
def _pictures(split: str) -> tuple[Tensor, ...]:
    return tuple(load(one, shrink) for one in PHOTOGRAPHS[check_split(split)] for shrink in SHRINKS)
