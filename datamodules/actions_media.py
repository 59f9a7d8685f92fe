"""Motions of the actions corpus for training tokenizers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from datamodules.corpora.actions.corpus import ActionsCorpus
from datamodules.plan import BatchPlan
from datamodules.steps import ResumableLoader, StepData, StepLoader
from tokenizers_vq.contract import Key


@dataclass(frozen=True)
class DrawnWindows:
    """Training batches {"media": (B, T, 3 + 4 J)}: poses of random windows, half of them mirrored, at other speeds."""

    corpus: ActionsCorpus
    plan: BatchPlan
    rank: int = 0
    world_size: int = 1

    def __call__(self, step: int) -> dict[str, Tensor]:
        """The batch of a step."""
        draws = self.plan.draws(step, self.rank, self.world_size)
        windows = self.corpus.draw("train", Key(self.plan.seed).fold("windows"), draws)
        return {"media": torch.stack([motion.poses for motion in self.corpus.motions(windows)])}


@dataclass(frozen=True)
class PlainMotions:
    """Evaluation batches {"media": (B, T, 3 + 4 J)}, in order; the last may be smaller."""

    poses: Tensor
    batch_size: int

    def __call__(self, step: int) -> dict[str, Tensor]:
        """Batch number `step`."""
        return {"media": self.poses[step * self.batch_size : (step + 1) * self.batch_size]}


class ActionMotions(StepData):
    """Windows of motion capture: batches {"media": (B, length, 3 + 4 J) float32}, one row a pose, see Motion.poses.

    Training draws windows at any place of the training takes, half of them mirrored, 0.75 to 1.3 times as fast;
    validation and test take every fourth start, plain and mirrored.

    Args:
        batch_size: samples a step, over all ranks together.
        num_steps: training steps of the whole run; set the trainer's max_steps to the same.
        rate: poses a second.
        length: poses of a window.
        seed: decides the splits and the windows.
        folder: pybullet's motion files; None finds the installed package.
        num_workers: processes that make batches.
    """

    def __init__(
        self,
        batch_size: int,
        num_steps: int,
        rate: float = 30.0,
        length: int = 17,
        seed: int = 0,
        folder: Path | None = None,
        num_workers: int = 0,
    ) -> None:
        super().__init__(batch_size, num_steps, seed, num_workers)
        self.corpus = ActionsCorpus(seed, rate, length, folder=folder)

    def train_dataloader(self) -> ResumableLoader:
        """Random windows of the training takes, one batch a step."""
        # Windows are drawn anew each time, so an epoch has no meaning; the plan only numbers the draws.
        plan = BatchPlan(self.batch_size, self.batch_size, self.seed)
        return self.training_loader(DrawnWindows(self.corpus, plan, *self.share))

    def val_dataloader(self) -> StepLoader:
        """The validation split, once."""
        return self._plain("val")

    def test_dataloader(self) -> StepLoader:
        """The test split, once."""
        return self._plain("test")

    def _plain(self, split: str) -> StepLoader:
        poses = torch.stack([motion.poses for motion in self.corpus.motions(self.corpus.windows(split))])
        return StepLoader(PlainMotions(poses, self.batch_size), -(-len(poses) // self.batch_size))
