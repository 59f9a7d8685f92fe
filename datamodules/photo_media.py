"""Crops of photographs for training tokenizers."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from datamodules.corpora.photos.corpus import PhotoCrops
from datamodules.media_data import InOrder, MediaData
from datamodules.plan import BatchPlan
from tokenizers_vq.contract import Key


@dataclass(frozen=True)
class DrawnCrops:
    """Training batches {"media": (B, 3, size, size)}: crops anywhere in the training photographs."""

    corpus: PhotoCrops
    plan: BatchPlan
    rank: int = 0
    world_size: int = 1

    def __call__(self, step: int) -> dict[str, Tensor]:
        """The batch of a step."""
        draws = self.plan.draws(step, self.rank, self.world_size)
        return {"media": self.corpus.draw("train", Key(self.plan.seed).fold("crop"), draws)}


class PhotoImages(MediaData):
    """Photographs: batches {"media": (B, 3, size, size) float32 in [0, 1]}.

    Training sees crops anywhere, mirrored at random; validation and test see other photographs in tiles.

    Args:
        batch_size: samples a step, over all ranks together.
        num_steps: training steps of the whole run; set the trainer's max_steps to the same.
        size: pixels of a side.
        seed: decides the crops.
        num_workers: processes that make batches.
    """

    def __init__(
        self, batch_size: int, num_steps: int, size: int = 64, seed: int = 0, num_workers: int = 0
    ) -> None:
        super().__init__(batch_size, num_steps, seed, num_workers)
        self.corpus = PhotoCrops(size)

    def training_batches(self) -> DrawnCrops:
        """New crops at every step."""
        plan = BatchPlan(len(self.corpus.pictures("train")), self.batch_size, self.seed)
        return DrawnCrops(self.corpus, plan, *self.share)

    def held_out_batches(self, split: str) -> tuple[InOrder, int]:
        """Photographs of a split in tiles."""
        images = self.corpus.grid(split)
        return InOrder(images, self.batch_size), len(images)
