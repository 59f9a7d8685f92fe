"""Windows: a number of poses out of a segment, at a speed, plain or mirrored."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from datamodules.corpora.actions.takes import Segment
from tokenizers_vq.contract import Key

SLOWEST, FASTEST = 0.75, 1.3


class Window(NamedTuple):
    """Where a sample comes from.

    Attributes:
        take: name of the clip.
        start: first pose, counted in poses of the take at speed 1; may lie between two.
        speed: the clip is played this many times as fast.
        is_mirrored: left and right have changed places.
    """

    take: str
    start: float
    speed: float
    is_mirrored: bool


def regular_windows(segments: Sequence[Segment], length: int, hop: int) -> list[Window]:
    """Every window that starts at a multiple of `hop` in its segment, plain and mirrored, at the clip's own speed.

    Args:
        segments: of one split.
        length: poses of a window.
        hop: poses from one start to the next.
    """
    return [
        Window(segment.take, float(start), 1.0, is_mirrored)
        for segment in segments
        for start in range(segment.start, segment.stop - length + 1, hop)
        for is_mirrored in (False, True)
    ]


def random_windows(segments: Sequence[Segment], length: int, key: Key, sample_id: Tensor) -> list[Window]:
    """A window each: a segment (each as likely), a speed, a start and a side.

    Speeds are log-uniform from 0.75 to 1.3, or to what the segment's length allows.

    Args:
        segments: of one split, each at least `length` poses.
        length: poses of a window.
        key: seed and step.
        sample_id: (B,) int64; a sample's window depends on the key and its own id alone.
    """
    index = key.fold("segment").integers(len(segments), sample_id).tolist()
    draw = key.fold("window").uniform(sample_id[:, None], torch.arange(3)).tolist()
    windows = []
    for segment, (speed_draw, start_draw, side_draw) in zip((segments[i] for i in index), draw):
        poses = segment.stop - segment.start - 1
        fastest = min(FASTEST, poses / (length - 1))
        speed = SLOWEST * math.exp(speed_draw * math.log(fastest / SLOWEST))
        room = max(0.0, poses - speed * (length - 1))
        windows.append(Window(segment.take, segment.start + start_draw * room, speed, side_draw < 0.5))
    return windows
