"""Single frames of videos, for image tokenizers that are inflated to video ones."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from datamodules.steps import MakeBatch
from datamodules.video_media import ClipVideos, PlainVideos, VideoBatches
from tokenizers_vq.contract import Key


@dataclass(frozen=True)
class DrawnFrames:
    """Training batches {"media": (B num_frames, C, H, W)}: different frames of each clip, drawn anew.

    Attributes:
        clips: where they are from.
        num_frames: of each clip.
    """

    clips: VideoBatches
    num_frames: int

    def __call__(self, step: int) -> dict[str, Tensor]:
        """The batch of a step."""
        videos = self.clips(step)["media"]
        plan = self.clips.plan
        number = plan.draws(step, self.clips.rank, self.clips.world_size)
        order = Key(plan.seed).fold("frames").uniform(number[:, None], torch.arange(videos.shape[1]))
        drawn = order.argsort(dim=1)[:, : self.num_frames]
        return {"media": videos[torch.arange(len(videos))[:, None], drawn].flatten(0, 1)}


@dataclass(frozen=True)
class AllFrames:
    """Evaluation batches {"media": (B T, C, H, W)}: every frame of each clip."""

    clips: PlainVideos

    def __call__(self, step: int) -> dict[str, Tensor]:
        """Batch number `step`."""
        return {"media": self.clips(step)["media"].flatten(0, 1)}


class ClipFrames(ClipVideos):
    """Single frames of the same windows in the same splits.

    Args:
        batch_size: clips a step, over all ranks together.
        num_steps, size, length, scale, hop, seed, cache_dir, num_workers: see ClipVideos.
        num_frames: frames taken of a clip in training; a batch has batch_size num_frames of them.

    Raises:
        ValueError: num_frames that a clip does not have.
    """

    def __init__(
        self,
        batch_size: int,
        num_steps: int,
        size: int = 64,
        length: int = 17,
        scale: int = 96,
        hop: int = 8,
        seed: int = 0,
        cache_dir: Path | None = None,
        num_workers: int = 0,
        num_frames: int = 4,
    ) -> None:
        super().__init__(batch_size, num_steps, size, length, scale, hop, seed, cache_dir, num_workers)
        if not 1 <= num_frames <= length:
            raise ValueError(f"num_frames={num_frames}, expected 1 to length={length}")
        self.num_frames = num_frames

    def training_batches(self) -> MakeBatch:
        """Drawn frames."""
        return DrawnFrames(self.drawn_clips(), self.num_frames)

    def held_out_batches(self, split: str) -> tuple[MakeBatch, int]:
        """Every frame of the split's clips; a batch has those of batch_size clips."""
        clips, count = self.listed_clips(split)
        return AllFrames(clips), count
