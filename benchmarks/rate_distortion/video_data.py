"""Clips of real films and of moving handwriting in one stream, whole or as single frames."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from datamodules.steps import MakeBatch
from datamodules.video_frames import DrawnFrames
from datamodules.video_media import ClipVideos, DigitVideos, MakeVideos, VideoData


@dataclass(frozen=True)
class TakingTurns:
    """Videos (B, T, 3, H, W) of several makers: numbers 0, n, 2 n ... are the first one's; grey becomes RGB."""

    makers: tuple[MakeVideos, ...]

    def __call__(self, number: Tensor) -> Tensor:
        """Videos of running numbers (B,) int64."""
        count = len(self.makers)
        rows: dict[int, Tensor] = {}
        for turn, make in enumerate(self.makers):
            own = (number % count == turn).nonzero()[:, 0]
            if len(own):
                rows |= dict(zip(own.tolist(), make(number[own] // count).expand(-1, -1, 3, -1, -1)))
        return torch.stack([rows[index] for index in range(len(number))])


class FilmsAndDigits(VideoData):
    """Half windows of real films, half moving handwriting: batches {"media": (B, length, 3, size, size)}.

    Args:
        batch_size: clips a step.
        num_steps: training steps.
        size: pixels of a side.
        length: frames of a clip.
        seed: decides splits and draws.
        num_held_out: clips of handwriting in validation and in test.
    """

    def __init__(
        self, batch_size: int, num_steps: int, size: int, length: int, seed: int = 0, num_held_out: int = 128
    ) -> None:
        super().__init__(batch_size, num_steps, seed, num_workers=0)
        films = ClipVideos(batch_size, num_steps, size, length, scale=size * 3 // 2, seed=seed)
        digits = DigitVideos(batch_size, num_steps, size, length, num_held_out, seed)
        self.parts: dict[str, VideoData] = {"clips": films, "moving digits": digits}

    def training_videos(self) -> MakeVideos:
        """Films and digits in turns."""
        return TakingTurns(tuple(part.training_videos() for part in self.parts.values()))

    def held_out_videos(self, split: str) -> tuple[MakeVideos, int]:
        """As many of the films as of the digits, in turns."""
        makers = [part.held_out_videos(split) for part in self.parts.values()]
        return TakingTurns(tuple(make for make, _ in makers)), len(makers) * min(count for _, count in makers)

    def held_out(self, name: str, split: str) -> Tensor:
        """(N, length, 3, size, size), every held-out clip of one part."""
        make, count = self.parts[name].held_out_videos(split)
        return make(torch.arange(count)).expand(-1, -1, 3, -1, -1)


class FramesOfFilmsAndDigits(FilmsAndDigits):
    """The same clips as single frames: batches {"media": (B num_frames, 3, size, size)}.

    Args:
        batch_size, num_steps, size, length, seed, num_held_out: see FilmsAndDigits.
        num_frames: frames taken of a clip.
    """

    def __init__(
        self,
        batch_size: int,
        num_steps: int,
        size: int,
        length: int,
        seed: int = 0,
        num_held_out: int = 128,
        num_frames: int = 4,
    ) -> None:
        super().__init__(batch_size, num_steps, size, length, seed, num_held_out)
        self.num_frames = num_frames

    def training_batches(self) -> MakeBatch:
        """Drawn frames."""
        return DrawnFrames(self.drawn_clips(), self.num_frames)
