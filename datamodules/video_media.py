"""Videos of the corpora for training tokenizers: real films, moving handwriting, rendered motion."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from datamodules.corpora.actions.camera import draw_cameras
from datamodules.corpora.actions.corpus import ActionsCorpus
from datamodules.corpora.actions.render import render
from datamodules.corpora.actions.windows import Window
from datamodules.corpora.clips.corpus import ClipsCorpus
from datamodules.corpora.digits.corpus import DigitsCorpus
from datamodules.corpora.digits.moving import MovingDigits
from datamodules.media_data import MediaData
from datamodules.plan import BatchPlan
from datamodules.steps import MakeBatch
from tokenizers_vq.contract import Key

MakeVideos = Callable[[Tensor], Tensor]
"""Videos (B, T, C, H, W) of running numbers (B,) int64; each depends on its own number alone. Picklable."""


@dataclass(frozen=True)
class VideoBatches:
    """Batches {"media": (B, T, C, H, W)}; a video depends on its own number alone.

    Attributes:
        make: videos of numbers.
        plan: numbers the draws of each step.
        rank, world_size: of this process.
    """

    make: MakeVideos
    plan: BatchPlan
    rank: int = 0
    world_size: int = 1

    def __call__(self, step: int) -> dict[str, Tensor]:
        """The batch of a step."""
        return {"media": self.make(self.plan.draws(step, self.rank, self.world_size))}


@dataclass(frozen=True)
class PlainVideos:
    """Evaluation batches {"media": (B, T, C, H, W)} of numbers 0 .. count - 1, in order; the last may be smaller."""

    make: MakeVideos
    count: int
    batch_size: int

    def __call__(self, step: int) -> dict[str, Tensor]:
        """Batch number `step`."""
        end = min((step + 1) * self.batch_size, self.count)
        return {"media": self.make(torch.arange(step * self.batch_size, end))}


class VideoData(MediaData):
    """Batches {"media": (B, T, C, H, W) float32 in [0, 1]}: training draws videos anew, evaluation has a fixed list."""

    @abstractmethod
    def training_videos(self) -> MakeVideos:
        """Videos of the training split by number, without end."""

    @abstractmethod
    def held_out_videos(self, split: str) -> tuple[MakeVideos, int]:
        """Videos of "val" or "test" by number, and how many there are."""

    def drawn_clips(self) -> VideoBatches:
        """Videos of the training split by step, this rank's share."""
        return VideoBatches(self.training_videos(), self.numbered_draws(), *self.share)

    def listed_clips(self, split: str) -> tuple[PlainVideos, int]:
        """Videos of "val" or "test" in order, and how many there are."""
        make, count = self.held_out_videos(split)
        return PlainVideos(make, count, self.batch_size), count

    def training_batches(self) -> MakeBatch:
        """Drawn videos of the training split."""
        return self.drawn_clips()

    def held_out_batches(self, split: str) -> tuple[MakeBatch, int]:
        """Videos of a split, in order."""
        return self.listed_clips(split)


@dataclass(frozen=True)
class _DrawnClips:
    corpus: ClipsCorpus
    key: Key

    def __call__(self, number: Tensor) -> Tensor:
        windows = self.corpus.draw("train", self.key, number)
        return torch.stack([self.corpus.video(window) for window in windows])


@dataclass(frozen=True)
class _ListedClips:
    corpus: ClipsCorpus
    split: str
    hop: int

    def __call__(self, number: Tensor) -> Tensor:
        windows = self.corpus.windows(self.split, self.hop)
        return torch.stack([self.corpus.video(windows[i]) for i in number.tolist()])


class ClipVideos(VideoData):
    """Windows of three real films, (B, length, 3, size, size) at 25 frames a second.

    Training draws windows at any time and place of the training shots, half of them mirrored; validation and test take
    windows on a grid, from other shots or times.

    Args:
        batch_size: videos a step, over all ranks together.
        num_steps: training steps of the whole run; set the trainer's max_steps to the same.
        size, length, scale: of the windows, see ClipsCorpus.
        hop: frames from one window of validation or test to the next.
        seed: decides the splits and the windows.
        cache_dir: folder for the decoded films; None decodes them anew (1 s).
        num_workers: processes that make batches.
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
    ) -> None:
        super().__init__(batch_size, num_steps, seed, num_workers)
        self.hop = hop
        self.corpus = ClipsCorpus(seed, size, length, scale, cache_dir=cache_dir)

    def training_videos(self) -> MakeVideos:
        """Random windows."""
        return _DrawnClips(self.corpus, Key(self.seed).fold("videos"))

    def held_out_videos(self, split: str) -> tuple[MakeVideos, int]:
        """Windows on a grid."""
        return _ListedClips(self.corpus, split, self.hop), len(self.corpus.windows(split, self.hop))


@dataclass(frozen=True)
class _DrawnDigits:
    moving: MovingDigits
    split: str
    key: Key

    def __call__(self, number: Tensor) -> Tensor:
        return self.moving.videos(self.split, self.moving.draw(self.split, self.key, number))


class DigitVideos(VideoData):
    """Handwritten digits that move straight, (B, length, 1, size, size) at 30 frames a second.

    Args:
        batch_size, num_steps, seed, num_workers: see ClipVideos.
        size: pixels of a side.
        length: frames.
        num_held_out: videos of validation and of test, of handwriting that training does not see.
    """

    def __init__(
        self,
        batch_size: int,
        num_steps: int,
        size: int = 64,
        length: int = 17,
        num_held_out: int = 128,
        seed: int = 0,
        num_workers: int = 0,
    ) -> None:
        super().__init__(batch_size, num_steps, seed, num_workers)
        self.num_held_out = num_held_out
        self.moving = MovingDigits(DigitsCorpus(seed), length, size)

    def training_videos(self) -> MakeVideos:
        """Any digit on any course."""
        return _DrawnDigits(self.moving, "train", Key(self.seed).fold("videos"))

    def held_out_videos(self, split: str) -> tuple[MakeVideos, int]:
        """The same courses every time."""
        return _DrawnDigits(self.moving, split, Key(self.seed).fold(split)), self.num_held_out


def _render_all(
    corpus: ActionsCorpus, windows: Sequence[Window], key: Key, number: Tensor, size: int
) -> Tensor:
    """(B, T, 3, size, size) of windows, each seen by the camera of its number."""
    motions, cameras = corpus.motions(windows), draw_cameras(key, number)
    return torch.stack([render(motion, camera, size)[0] for motion, camera in zip(motions, cameras)])


@dataclass(frozen=True)
class _DrawnActions:
    corpus: ActionsCorpus
    key: Key
    size: int

    def __call__(self, number: Tensor) -> Tensor:
        windows = self.corpus.draw("train", self.key, number)
        return _render_all(self.corpus, windows, self.key, number, self.size)


@dataclass(frozen=True)
class _ListedActions:
    corpus: ActionsCorpus
    windows: tuple[Window, ...]
    key: Key
    size: int

    def __call__(self, number: Tensor) -> Tensor:
        windows = [self.windows[i] for i in number.tolist()]
        return _render_all(self.corpus, windows, self.key, number, self.size)


class ActionVideos(VideoData):
    """Motion capture rendered from drawn cameras, (B, length, 3, size, size); 8 ms a video of 64 pixels a side.

    Args:
        batch_size, num_steps, seed, num_workers: see ClipVideos.
        size: pixels of a side.
        rate: frames a second.
        length: frames.
        hop: poses from one window of validation or test to the next.
        folder: pybullet's motion files; None finds the installed package.
    """

    def __init__(
        self,
        batch_size: int,
        num_steps: int,
        size: int = 64,
        rate: float = 30.0,
        length: int = 17,
        hop: int = 4,
        seed: int = 0,
        folder: Path | None = None,
        num_workers: int = 0,
    ) -> None:
        super().__init__(batch_size, num_steps, seed, num_workers)
        self.size, self.hop = size, hop
        self.corpus = ActionsCorpus(seed, rate, length, folder=folder)

    def training_videos(self) -> MakeVideos:
        """Random windows of the training takes, from any camera."""
        return _DrawnActions(self.corpus, Key(self.seed).fold("videos"), self.size)

    def held_out_videos(self, split: str) -> tuple[MakeVideos, int]:
        """Windows on a grid, plain and mirrored, each always from the same camera."""
        windows = tuple(self.corpus.windows(split, self.hop))
        return _ListedActions(self.corpus, windows, Key(self.seed).fold(split), self.size), len(windows)
