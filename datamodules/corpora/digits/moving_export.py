"""Moving digits as media shards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch

from datamodules.corpora.digits.moving import MovingDigits
from datamodules.corpora.digits.moving_captions import NAMES
from datamodules.shards import MediaSample, write_shards
from tokenizers_vq.contract import Key


def moving_samples(
    moving: MovingDigits, split: str, num_samples: int, seed: int = 0
) -> Iterator[MediaSample]:
    """Videos with their captions: `video` and `text`.

    Args:
        moving: the media.
        split: train, val or test.
        num_samples: how many.
        seed: decides digits, courses and wordings.
    """
    courses = moving.draw(split, Key(seed).fold("shards"), torch.arange(num_samples))
    videos = moving.videos(split, courses)
    item_ids = moving.corpus.images(split).item_ids[courses.image]
    for i, (video, text) in enumerate(zip(videos, courses.captions())):
        metadata = {
            "label": int(courses.label[i]),
            "direction": NAMES[int(courses.direction[i])],
            "image_item": int(item_ids[i]),
            "motion_is_synthetic": True,
        }
        yield MediaSample(f"{split}{i:06d}", {"video": ("video", video), "text": ("text", text)}, metadata)


def write_moving_shards(
    moving: MovingDigits,
    folder: Path,
    split: str,
    num_samples: int,
    seed: int = 0,
    samples_per_shard: int = 1000,
) -> list[Path]:
    """Write videos of a split as webdataset shards; see `moving_samples` and `datamodules.shards.write_shards`."""
    samples = moving_samples(moving, split, num_samples, seed)
    return write_shards(folder, samples, {"video": moving.rate}, samples_per_shard)
