"""Motions of HumanML3D for training tokenizers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from datamodules.corpora.humanml3d.corpus import HumanML3DCorpus
from datamodules.plan import BatchPlan
from datamodules.steps import ResumableLoader, StepData, StepLoader
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


@dataclass(frozen=True)
class PlainFeatures:
    """Evaluation batches {"media": (B, T, 263), "lengths": (B,)}: whole motions in order, padded with zeros."""

    motions: list[Tensor]
    batch_size: int

    def __call__(self, step: int) -> dict[str, Tensor]:
        """Batch number `step`; the last may be smaller."""
        part = self.motions[step * self.batch_size : (step + 1) * self.batch_size]
        lengths = torch.tensor([len(motion) for motion in part])
        return {"media": torch.nn.utils.rnn.pad_sequence(part, batch_first=True), "lengths": lengths}


class HumanML3DMotions(StepData):
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

    def train_dataloader(self) -> ResumableLoader:
        """Random windows of the training motions, one batch a step."""
        motions = self.corpus.motions("train")
        plan = BatchPlan(len(motions), self.batch_size, self.seed)
        return self.training_loader(DrawnFeatures(motions, self.length, plan, *self.share))

    def val_dataloader(self) -> StepLoader:
        """The validation split, once."""
        return self._plain("val")

    def test_dataloader(self) -> StepLoader:
        """The test split, once."""
        return self._plain("test")

    def _plain(self, split: str) -> StepLoader:
        motions = self.corpus.motions(split)
        return StepLoader(PlainFeatures(motions, self.batch_size), -(-len(motions) // self.batch_size))
