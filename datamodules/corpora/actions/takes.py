"""The twenty clips and who of them is held out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import NamedTuple

import torch

from datamodules.corpora.splits import SPLITS, Split
from tokenizers_vq.contract import Key

TAKES: dict[str, tuple[str, str]] = {
    "walk": ("walk", "humanoid3d_walk"),
    "walk_forward": ("walk", "walker/0walk_forward"),
    "turn_left_0": ("turn_left", "walker/turn_left0"),
    "turn_left_1": ("turn_left", "walker/turn_left1"),
    "turn_right_0": ("turn_right", "walker/turn_right0"),
    "turn_right_1": ("turn_right", "walker/turn_right1"),
    "dance_a": ("dance", "humanoid3d_dance_a"),
    "dance_b": ("dance", "humanoid3d_dance_b"),
    "run": ("run", "humanoid3d_run"),
    "jump": ("jump", "humanoid3d_jump"),
    "kick": ("kick_right", "humanoid3d_kick"),
    "punch": ("punch_right", "humanoid3d_punch"),
    "spin": ("spin_left", "humanoid3d_spin"),
    "spinkick": ("spinkick_right", "humanoid3d_spinkick"),
    "roll": ("roll", "humanoid3d_roll"),
    "backflip": ("backflip", "humanoid3d_backflip"),
    "cartwheel": ("cartwheel_left", "humanoid3d_cartwheel"),
    "crawl": ("crawl", "humanoid3d_crawl"),
    "getup_facedown": ("getup_facedown", "humanoid3d_getup_facedown"),
    "getup_faceup": ("getup_faceup", "humanoid3d_getup_faceup"),
}
"""Name of a take -> its action (with its side, see captions.LABELS), its file without .txt."""

HELD_OUT_SHARE = 0.2


class Segment(NamedTuple):
    """A stretch of a take that belongs to one split: poses `start` to `stop` - 1 of the resampled take."""

    take: str
    start: int
    stop: int


def split_takes(lengths: Mapping[str, int], window: int, gap: int, key: Key) -> dict[Split, list[Segment]]:
    """Divide takes among the splits, before anything is cut or paired.

    Of an action with two takes one is in training, and the other is held out whole: validation and test each get
    a half of it. Of an action with one take the ends are held out (a window, or a fifth of the take where that is
    longer): one end for validation and one for test, or, where training would keep less than half, one end for one
    of them; a take too short for that is in training alone. Poses of a gap are in no split.

    Args:
        lengths: poses of each take.
        window: poses of a window; no segment is shorter.
        gap: poses between two splits, at least.
        key: seed; it decides which take, which end and which order.

    Raises:
        ValueError: a take shorter than a window.
    """
    parts: dict[Split, list[Segment]] = {split: [] for split in SPLITS}
    by_action: dict[str, list[str]] = defaultdict(list)
    for take, length in lengths.items():
        if length < window:
            raise ValueError(f"take {take} has {length} poses, fewer than a window of {window}")
        by_action[TAKES[take][0]].append(take)
    for action, takes in by_action.items():
        draw = key.fold(action).uniform(torch.arange(2)).tolist()
        held_splits: tuple[Split, Split] = ("val", "test") if draw[0] < 0.5 else ("test", "val")
        if len(takes) == 1:
            train, held = _ends(takes[0], lengths[takes[0]], window, gap, draw[1] < 0.5)
            parts["train"].append(train)
        else:
            held_take = takes[int(draw[1] * len(takes))]
            held = _halves(held_take, lengths[held_take], window, gap)
            parts["train"] += [Segment(take, 0, lengths[take]) for take in takes if take != held_take]
        for split, segment in zip(held_splits, held):
            parts[split].append(segment)
    return parts


def _halves(take: str, length: int, window: int, gap: int) -> list[Segment]:
    """Two halves of a take with a gap between them, or the whole where a half holds no window."""
    half = (length - gap) // 2
    if half < window:
        return [Segment(take, 0, length)]
    return [Segment(take, 0, half), Segment(take, half + gap, length)]


def _ends(take: str, length: int, window: int, gap: int, at_start: bool) -> tuple[Segment, list[Segment]]:
    """What remains for training, and none, one or two ends."""
    end = max(window, int(HELD_OUT_SHARE * length))
    if length - 2 * (end + gap) >= max(window, length // 2):
        train = Segment(take, end + gap, length - end - gap)
        return train, [Segment(take, 0, end), Segment(take, length - end, length)]
    if length < 2 * window + gap:
        return Segment(take, 0, length), []
    if at_start:
        return Segment(take, window + gap, length), [Segment(take, 0, window)]
    return Segment(take, 0, length - window - gap), [Segment(take, length - window, length)]
