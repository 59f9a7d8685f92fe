"""Batches of videos of unequal length: checked, then filled up by holding the last frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tokenizers_vq.checks import check_float, check_range, padded_lengths


@dataclass(frozen=True)
class FrameGrid:
    """What a tokenizer's videos look like.

    Attributes:
        size: height and width in pixels.
        channels: 1 (grey) or 3 (RGB).
        stride: frames a token; the first frame has a token of its own.
        max_tokens: of the longest video, along time.
    """

    size: tuple[int, int]
    channels: int
    stride: int
    max_tokens: int

    def num_frames(self, num_tokens: int) -> int:
        """Frames that so many tokens along time stand for."""
        return 1 + (num_tokens - 1) * self.stride

    def num_tokens(self, num_frames_B: Tensor) -> Tensor:
        """Tokens along time (B,) of numbers of frames (B,); the last token is filled up."""
        return 1 + (num_frames_B - 1 + self.stride - 1) // self.stride

    def check_frames(self, frames: Tensor, name: str) -> None:
        """Raise ValueError unless these are float frames (..., C, H, W) of this size, at least one."""
        check_float(frames, "video")
        wanted = (self.channels, *self.size)
        if frames.ndim < 4 or tuple(frames.shape[-3:]) != wanted:
            raise ValueError(
                f"{name} of shape {tuple(frames.shape)}, expected (T, {', '.join(map(str, wanted))}); resize and "
                "convert to grey or RGB first"
            )
        if 0 in frames.shape:
            raise ValueError(f"{name} of shape {tuple(frames.shape)} is empty; leave it out")


def pad_videos(
    media: Tensor | Sequence[Tensor], lengths: Tensor | None, grid: FrameGrid
) -> tuple[Tensor, Tensor]:
    """One batch of videos, each with its last frame held to the end of the batch.

    Args:
        media: list of (T, C, H, W) float in [0, 1], or a padded batch (B, T, C, H, W).
        lengths: (B,) int64, real frames of each row of a padded batch; all of them where not given.
        grid: what is expected.

    Returns:
        videos (B, C, T, H, W) float32 in [-1, 1], T the frames of the longest one's tokens, and lengths (B,) int64 on
        the same device.

    Raises:
        ValueError: a wrong type, dtype or shape, NaN or out-of-range values, a video without frames or too long.
    """
    if isinstance(media, Tensor):
        size_B = _sizes(media, lengths, grid)
        rows = list(media)
    else:
        if lengths is not None:
            raise ValueError("lengths belong to a padded (B, T, C, H, W) batch; a list of videos has its own")
        rows = _checked_list(media, grid)
        size_B = torch.tensor([len(video) for video in rows], device=rows[0].device)
    low, high, longest = int(size_B.min()), int(size_B.max()), grid.num_frames(grid.max_tokens)
    if low < 1 or high > longest:
        raise ValueError(
            f"videos of {low} to {high} frames, expected 1 to {longest}; leave out or cut the others, or encode a long "
            "film piece by piece with encode_chunks"
        )
    num_frames = grid.num_frames(int(grid.num_tokens(size_B.max())))
    frame_T = torch.arange(num_frames, device=size_B.device)
    held = torch.minimum(frame_T, size_B[:, None] - 1)
    x_BTCHW = torch.stack([video[index] for video, index in zip(rows, held)])
    check_range(x_BTCHW, 0.0, 1.0, "video values", "give floats in [0, 1] (divide bytes by 255)")
    return x_BTCHW.float().transpose(1, 2) * 2 - 1, size_B


def _sizes(media: Tensor, lengths: Tensor | None, grid: FrameGrid) -> Tensor:
    """Real frames (B,) of a padded batch."""
    if media.ndim != 5:
        raise ValueError(
            f"videos of shape {tuple(media.shape)}, expected (B, T, C, H, W), or a list of (T, C, H, W)"
        )
    grid.check_frames(media, "videos")
    return padded_lengths(media, lengths, "frames")


def _checked_list(media: Sequence[Tensor], grid: FrameGrid) -> list[Tensor]:
    videos = list(media)
    if not videos:
        raise ValueError("no videos to encode; expected at least one")
    for video in videos:
        grid.check_frames(video, "a video")
        if video.ndim != 4:
            raise ValueError(f"a video of shape {tuple(video.shape)}, expected (T, C, H, W)")
    return videos
