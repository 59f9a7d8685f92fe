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

_ROUNDING = 1e-6  # seconds


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
        return self.motions([window])[0]

    def motions(self, windows: Sequence[Window]) -> list[Motion]:
        """`motion` of each window."""
        return [
            Motion(HUMANOID, self.rate, poses[:, :3], poses[:, 3:].unflatten(1, (-1, 4)))
            for poses in self.poses(windows)
        ]

    def poses(self, windows: Sequence[Window]) -> Tensor:
        """Poses (B, length, 3 + 4 J) of windows, see Motion.poses; all read at once.

        Raises:
            ValueError: a window outside its take, no windows.
        """
        if not windows:
            raise ValueError("no windows, expected at least one")
        recording, starts = self._joined
        frame_T = torch.arange(self.length, dtype=torch.float64)
        start_B, speed_B = torch.tensor([w[1:3] for w in windows], dtype=torch.float64).unbind(dim=1)
        seconds_BT = (start_B[:, None] + speed_B[:, None] * frame_T) / self.rate
        for window, first, last in zip(windows, seconds_BT[:, 0].tolist(), seconds_BT[:, -1].tolist()):
            longest = float(self._recordings[window.take].times[-1])
            if first < -_ROUNDING or last > longest + _ROUNDING:
                raise ValueError(
                    f"window of {window.take} from {first:g} to {last:g} s, expected within 0 to {longest:g} s"
                )
        base_B1 = torch.tensor([[starts[window.take]] for window in windows], dtype=torch.float64)
        motion = Motion(HUMANOID, self.rate, *pose_at(recording, (base_B1 + seconds_BT).flatten()))
        is_mirrored_B11 = torch.tensor([w.is_mirrored for w in windows])[:, None, None]
        plain, mirrored = (
            poses.unflatten(0, (len(windows), -1)) for poses in (motion.poses, motion.mirrored().poses)
        )
        return torch.where(is_mirrored_B11, mirrored, plain)

    def take(self, name: str, is_mirrored: bool = False) -> Motion:
        """A whole clip at `rate`; mind that its parts may belong to several splits."""
        seconds = torch.arange(self.num_poses[name], dtype=torch.float64) / self.rate
        motion = Motion(HUMANOID, self.rate, *pose_at(self._recordings[name], seconds))
        return motion.mirrored() if is_mirrored else motion

    @cached_property
    def _joined(self) -> tuple[Recording, dict[str, float]]:
        """All takes one after the other, a second apart, and the second at which each starts."""
        starts, times, now = {}, [], 0.0
        for take, recording in self._recordings.items():
            starts[take] = now
            times.append(recording.times + now)
            now = float(times[-1][-1]) + 1.0
        parts = self._recordings.values()
        return Recording(
            torch.cat(times), torch.cat([r.root for r in parts]), torch.cat([r.rotations for r in parts])
        ), starts
