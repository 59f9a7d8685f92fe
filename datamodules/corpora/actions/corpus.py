"""The actions corpus: takes, splits and windows of motion."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from datamodules.corpora.actions.humanoid import HUMANOID, Recording, motions_folder, pose_at, read_recording
from datamodules.corpora.actions.takes import TAKES, Segment, split_takes
from datamodules.corpora.actions.windows import Window, random_windows, regular_windows
from datamodules.corpora.splits import Split, check_split
from tokenizers_vq.contract import Key
from tokenizers_vq.contract.motion import Motion, Skeleton


class ActionsCorpus:
    """Twenty takes of sixteen actions, in three splits.

    Args:
        seed: decides the splits.
        rate: poses a second that every clip is resampled to.
        length: poses of a window. 17 poses are one frame and sixteen more, or sixteen differences.
        gap: poses left out between two splits of one take.
        folder: pybullet's motion files; None finds the installed package.

    Raises:
        ValueError: a rate, length or gap out of range.
    """

    skeleton: Skeleton = HUMANOID

    def __init__(
        self, seed: int = 0, rate: float = 30.0, length: int = 17, gap: int = 3, folder: Path | None = None
    ) -> None:
        if not rate > 0.0 or length < 2 or gap < 1:
            raise ValueError(f"rate={rate}, length={length}, gap={gap}: expected > 0, at least 2, at least 1")
        self.seed = seed
        self.rate = rate
        self.length = length
        self.gap = gap
        self.folder = folder

    @cached_property
    def _recordings(self) -> dict[str, Recording]:
        folder = self.folder or motions_folder()
        return {take: read_recording(folder / f"{file}.txt") for take, (_, file) in TAKES.items()}

    @cached_property
    def num_poses(self) -> dict[str, int]:
        """Poses of each take after resampling."""
        return {take: int(float(r.times[-1]) * self.rate + 1e-6) + 1 for take, r in self._recordings.items()}

    @cached_property
    def _segments(self) -> dict[Split, list[Segment]]:
        return split_takes(
            self.num_poses, self.length, self.gap, Key(self.seed).fold("actions").fold("split")
        )

    def segments(self, split: str) -> list[Segment]:
        """Stretches of takes that belong to a split.

        Raises:
            ValueError: an unknown split, takes too short for a window at this rate, or pybullet is not installed.
        """
        return self._segments[check_split(split)]

    def windows(self, split: str, hop: int = 4) -> list[Window]:
        """All windows of a split on a grid, plain and mirrored, at the clips' own speed: for evaluation."""
        return regular_windows(self.segments(split), self.length, hop)

    def draw(self, split: str, key: Key, sample_id: Tensor) -> list[Window]:
        """A random window for each sample, at another speed, plain or mirrored: for training.

        Args:
            split: train, val or test.
            key: seed and step.
            sample_id: (B,) int64; a sample's window depends on the key and its own id alone.
        """
        return random_windows(self.segments(split), self.length, key, sample_id)

    def motion(self, window: Window) -> Motion:
        """The poses of a window.

        Returns:
            `length` poses at `rate`, the root where the clip has it.

        Raises:
            ValueError: a window outside its take.
        """
        poses = window.start + window.speed * torch.arange(self.length, dtype=torch.float64)
        return self._motion(window.take, poses / self.rate, window.is_mirrored)

    def motions(self, windows: Sequence[Window]) -> list[Motion]:
        """`motion` of each window."""
        return [self.motion(window) for window in windows]

    def take(self, name: str, is_mirrored: bool = False) -> Motion:
        """A whole clip at `rate`; mind that its parts may belong to several splits."""
        seconds = torch.arange(self.num_poses[name], dtype=torch.float64) / self.rate
        return self._motion(name, seconds, is_mirrored)

    def _motion(self, take: str, seconds: Tensor, is_mirrored: bool) -> Motion:
        motion = Motion(HUMANOID, self.rate, *pose_at(self._recordings[take], seconds))
        return motion.mirrored() if is_mirrored else motion
