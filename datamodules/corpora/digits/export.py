"""The digits corpus as media shards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch

from datamodules.corpora.digits.corpus import DigitsCorpus
from datamodules.shards import MediaSample, write_shards
from tokenizers_vq.contract import Key


def paired_samples(
    corpus: DigitsCorpus, split: str, num_samples: int, seed: int, missing: float = 0.0
) -> Iterator[MediaSample]:
    """Pairs of image, text and speech that agree in class.

    Args:
        corpus: the media.
        split: train, val or test.
        num_samples: how many.
        seed: decides the pairs.
        missing: probability that a sample lacks its text, and likewise its speech; every sample has its image.
    """
    key, sample_id = Key(seed).fold("shards"), torch.arange(num_samples)
    pairs = corpus.pairs(split, key, sample_id)
    images, texts, speech = corpus.images(split), corpus.captions().texts, corpus.speech(split)
    has_text = key.fold("has text").uniform(sample_id) >= missing
    has_speech = key.fold("has speech").uniform(sample_id) >= missing
    for i in range(num_samples):
        image, clip = int(pairs.image[i]), int(pairs.clip[i])
        media: dict[str, tuple[str, object]] = {"image": ("image", images.images[image])}
        metadata: dict[str, object] = {
            "label": int(pairs.label[i]),
            "image_item": int(images.item_ids[image]),
        }
        if has_text[i]:
            media["text"] = ("text", texts[int(pairs.caption[i])])
        if has_speech[i]:
            media["speech"] = ("audio", speech.waveforms[clip])
            metadata |= {"voice": speech.variants[clip].voice, "speech_is_synthetic": True}
        yield MediaSample(f"{split}{i:06d}", media, metadata)


def write_digit_shards(
    corpus: DigitsCorpus,
    folder: Path,
    split: str,
    num_samples: int,
    seed: int = 0,
    missing: float = 0.0,
    samples_per_shard: int = 1000,
) -> list[Path]:
    """Write pairs of a split as webdataset shards; see `paired_samples` and `datamodules.shards.write_shards`."""
    samples = paired_samples(corpus, split, num_samples, seed, missing)
    return write_shards(folder, samples, corpus.sample_rate, samples_per_shard)
