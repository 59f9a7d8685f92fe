"""The actions corpus as media shards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch

from datamodules.corpora.actions.corpus import ActionsCorpus
from datamodules.corpora.actions.samples import ActionSample, make_sample
from datamodules.corpora.actions.speech import SpokenCaptions
from datamodules.shards import MediaSample, write_shards
from tokenizers_vq.contract import Key


def action_samples(
    corpus: ActionsCorpus,
    split: str,
    num_samples: int,
    seed: int = 0,
    size: int = 64,
    speech: SpokenCaptions | None = None,
) -> Iterator[MediaSample]:
    """Random windows of a split with `motion`, `video`, `text` and, where asked for, `speech`.

    Args:
        corpus: the media.
        split: train, val or test.
        num_samples: how many.
        seed: decides windows, cameras, captions and voices.
        size: pixels of a side of the video.
        speech: spoken captions; None leaves speech out.
    """
    key = Key(seed).fold("shards")
    for i, window in enumerate(corpus.draw(split, key, torch.arange(num_samples))):
        sample = make_sample(corpus, split, window, key, i, size, speech)
        media: dict[str, tuple[str, object]] = {
            "motion": ("motion", sample.motion),
            "video": ("video", sample.video),
            "text": ("text", sample.caption),
        }
        if sample.speech is not None:
            media["speech"] = ("audio", sample.speech.waveform)
        yield MediaSample(f"{split}{i:06d}", media, _metadata(sample))


def _metadata(sample: ActionSample) -> dict[str, object]:
    facts: dict[str, object] = {
        "label": sample.label,
        "window": sample.window._asdict(),
        "camera": sample.camera._asdict(),
        "video_is_synthetic": True,
    }
    if sample.speech is not None:
        facts |= {"voice": sample.speech.variant.voice, "speech_is_synthetic": True}
    return facts


def write_action_shards(
    corpus: ActionsCorpus,
    folder: Path,
    split: str,
    num_samples: int,
    seed: int = 0,
    size: int = 64,
    speech: SpokenCaptions | None = None,
    samples_per_shard: int = 1000,
) -> list[Path]:
    """Write windows of a split as webdataset shards; see `action_samples` and `datamodules.shards.write_shards`."""
    samples = action_samples(corpus, split, num_samples, seed, size, speech)
    rates = {"motion": corpus.rate, "video": corpus.rate, "audio": SpokenCaptions.sample_rate}
    return write_shards(folder, samples, rates, samples_per_shard)
