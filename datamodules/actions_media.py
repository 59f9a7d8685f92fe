"""Motions of the actions corpus for training tokenizers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from datamodules.corpora.actions.corpus import ActionsCorpus
from datamodules.corpora.actions.variation import LIMBS, bend_joints, mix_limbs
from datamodules.media_data import InOrder, MediaData
from datamodules.plan import BatchPlan
from tokenizers_vq.contract import Key


@dataclass(frozen=True)
class DrawnWindows:
    """Training batches {"media": (B, T, 3 + 4 J)}: poses of random windows, half of them mirrored, at other speeds.

    Attributes:
        corpus: has the takes.
        plan: numbers the draws.
        mixed_share: of the samples that get limbs of other windows, see mix_limbs.
        bend: deviation of the turns added to each joint, radians, see bend_joints; 0 adds none.
        rank, world_size: of this process.
    """

    corpus: ActionsCorpus
    plan: BatchPlan
    mixed_share: float = 0.0
    bend: float = 0.0
    rank: int = 0
    world_size: int = 1

    def __call__(self, step: int) -> dict[str, Tensor]:
        """The batch of a step."""
        draws = self.plan.draws(step, self.rank, self.world_size)
        key = Key(self.plan.seed).fold("windows")
        keys = [key]
        if self.mixed_share > 0.0:
            keys += [key.fold(f"other {limb}") for limb in LIMBS]
        windows = [window for one in keys for window in self.corpus.draw("train", one, draws)]
        poses_BTP, *others = self.corpus.poses(windows).unflatten(0, (len(keys), -1))
        if others:
            poses_BTP = mix_limbs(
                poses_BTP, torch.stack(others), self.mixed_share, key, draws, self.corpus.skeleton
            )
        if self.bend > 0.0:
            poses_BTP = bend_joints(poses_BTP, self.bend, key, draws)
        return {"media": poses_BTP}


class ActionMotions(MediaData):
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
        mixed_share: of the training samples that get limbs of other windows.
        bend: deviation of the turns added to each joint in training, radians.

    Raises:
        ValueError: a share outside [0, 1], a negative bend.
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
        mixed_share: float = 0.0,
        bend: float = 0.0,
    ) -> None:
        super().__init__(batch_size, num_steps, seed, num_workers)
        if not 0.0 <= mixed_share <= 1.0 or not bend >= 0.0:
            raise ValueError(
                f"mixed_share={mixed_share}, bend={bend}: expected a share in [0, 1], at least 0"
            )
        self.mixed_share, self.bend = mixed_share, bend
        self.corpus = ActionsCorpus(seed, rate, length, folder=folder)

    def training_batches(self) -> DrawnWindows:
        """Random windows of the training takes."""
        return DrawnWindows(self.corpus, self.numbered_draws(), self.mixed_share, self.bend, *self.share)

    def held_out_batches(self, split: str) -> tuple[InOrder, int]:
        """Windows on a grid."""
        poses = self.corpus.poses(self.corpus.windows(split))
        return InOrder(poses, self.batch_size), len(poses)
