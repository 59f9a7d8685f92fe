"""Motions of HumanML3D for training tokenizers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from datamodules.corpora.humanml3d.corpus import HumanML3DCorpus
from datamodules.media_data import MediaData, PaddedInOrder
from datamodules.plan import BatchPlan
from tokenizers_vq.contract import Key


@dataclass(frozen=True)
class DrawnFeatures:
    """Training batches {"media": (B, length, 263)}: shuffled motions, a window anywhere in each."""

    motions: list[Tensor]
    length: int
    plan: BatchPlan
    rank: int = 0
    world_size: int = 1

    def __call__(self, step: int) -> dict[str, Tensor]:
        """The batch of a step."""
        share = (step, self.rank, self.world_size)
        place_B = Key(self.plan.seed).fold("windows").uniform(self.plan.draws(*share))
        windows = []
        for index, place in zip(self.plan.samples(*share).tolist(), place_B.tolist()):
            motion = self.motions[index]
            start = int(place * (len(motion) - self.length + 1))
            windows.append(motion[start : start + self.length])
        return {"media": torch.stack(windows)}


class HumanML3DMotions(MediaData):
    """Motions of a HumanML3D folder as the features it holds: batches {"media": (B, T, 263) float32}.

    Training takes a random window of each motion, validation and test whole motions. The dataset has mirrored copies
    already, so nothing is augmented.

    Args:
        folder: of the dataset, see HumanML3DCorpus.
        batch_size: samples a step, over all ranks together.
        num_steps: training steps of the whole run; set the trainer's max_steps to the same.
        length: poses of a training window; shorter motions are left out of all splits.
        longest: poses of a motion; longer ones are left out.
        max_missing: listed motions of a split that may lack a file.
        seed: decides the order and the windows.
        num_workers: processes that make batches.

    Raises:
        ValueError: as HumanML3DCorpus.
    """

    def __init__(
        self,
        folder: Path,
        batch_size: int,
        num_steps: int,
        length: int = 64,
        longest: int = 199,
        max_missing: int = 0,
        seed: int = 0,
        num_workers: int = 0,
    ) -> None:
        super().__init__(batch_size, num_steps, seed, num_workers)
        self.length = length
        self.corpus = HumanML3DCorpus(folder, shortest=length, longest=longest, max_missing=max_missing)

    def training_batches(self) -> DrawnFeatures:
        """Random windows of the training motions."""
        motions = self.corpus.motions("train")
        plan = BatchPlan(len(motions), self.batch_size, self.seed)
        return DrawnFeatures(motions, self.length, plan, *self.share)

    def held_out_batches(self, split: str) -> tuple[PaddedInOrder, int]:
        """Whole motions of a split."""
        motions = self.corpus.motions(split)
        return PaddedInOrder(motions, self.batch_size), len(motions)
