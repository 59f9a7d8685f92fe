"""The clips corpus as media shards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch

from datamodules.corpora.clips.corpus import ClipsCorpus
from datamodules.shards import MediaSample, write_shards
from tokenizers_vq.contract import Key


def clip_samples(corpus: ClipsCorpus, split: str, num_samples: int, seed: int = 0) -> Iterator[MediaSample]:
    """Random windows of a split: `video`, and `sound` where the film has any.

    Args:
        corpus: the media.
        split: train, val or test.
        num_samples: how many.
        seed: decides the windows.
    """
    for i, window in enumerate(corpus.draw(split, Key(seed).fold("shards"), torch.arange(num_samples))):
        media: dict[str, tuple[str, object]] = {"video": ("video", corpus.video(window))}
        sound = corpus.sound(window)
        if sound is not None:
            media["sound"] = ("audio", sound)
        yield MediaSample(f"{split}{i:06d}", media, {"window": window._asdict()})


def write_clip_shards(
    corpus: ClipsCorpus,
    folder: Path,
    split: str,
    num_samples: int,
    seed: int = 0,
    samples_per_shard: int = 1000,
) -> list[Path]:
    """Write windows of a split as webdataset shards; see `clip_samples` and `datamodules.shards.write_shards`."""
    samples = clip_samples(corpus, split, num_samples, seed)
    rates = {"video": corpus.rate, "audio": corpus.sample_rate}
    return write_shards(folder, samples, rates, samples_per_shard)
