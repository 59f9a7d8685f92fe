"""Drawings of the emoji corpus for training tokenizers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from datamodules.corpora.emoji.augment import augment
from datamodules.corpora.emoji.corpus import EmojiCorpus
from datamodules.media_data import InOrder, MediaData
from datamodules.plan import BatchPlan
from tokenizers_vq.contract import Key


@dataclass(frozen=True)
class AugmentedDrawings:
    """Training batches {"media": (B, 3, H, W)}: shuffled; mirrored, moved and recoloured at random."""

    images: Tensor
    plan: BatchPlan
    rank: int = 0
    world_size: int = 1

    def __call__(self, step: int) -> dict[str, Tensor]:
        """The batch of a step."""
        share = (step, self.rank, self.world_size)
        images = self.images[self.plan.samples(*share)]
        return {"media": augment(images, Key(self.plan.seed).fold("augment"), self.plan.draws(*share))}


class EmojiImages(MediaData):
    """OpenMoji drawings: batches {"media": (B, 3, size, size) float32 in [0, 1]}, on white.

    Splits are by base emoji: no drawing is in training in one skin tone and in the test in another. Only training is
    augmented.

    Args:
        batch_size: samples a step, over all ranks together.
        num_steps: training steps of the whole run; set the trainer's max_steps to the same.
        size: pixels of a side.
        seed: decides the splits, the order and the augmentation.
        cache_dir: folder for the rendered drawings; None renders them anew (6 s).
        num_workers: processes that make batches.
    """

    def __init__(
        self,
        batch_size: int,
        num_steps: int,
        size: int = 64,
        seed: int = 0,
        cache_dir: Path | None = None,
        num_workers: int = 0,
    ) -> None:
        super().__init__(batch_size, num_steps, seed, num_workers)
        self.corpus = EmojiCorpus(seed, size, cache_dir)

    def training_batches(self) -> AugmentedDrawings:
        """Augmented drawings of the training split."""
        images = self.corpus.images("train").images
        return AugmentedDrawings(images, BatchPlan(len(images), self.batch_size, self.seed), *self.share)

    def held_out_batches(self, split: str) -> tuple[InOrder, int]:
        """Plain drawings of a split."""
        images = self.corpus.images(split).images
        return InOrder(images, self.batch_size), len(images)
