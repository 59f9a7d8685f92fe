"""The speech corpus as media shards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from datamodules.corpora.speech.corpus import SpeechCorpus
from datamodules.shards import MediaSample, write_shards


def prompt_samples(corpus: SpeechCorpus, split: str) -> Iterator[MediaSample]:
    """Every prompt of a split once: `speech` and `text`, its transcript."""
    prompts = corpus.speech(split)
    for i, (prompt, waveform) in enumerate(zip(prompts.prompts, prompts.waveforms)):
        media = {"speech": ("audio", waveform), "text": ("text", prompt.text)}
        metadata = {"prompt": prompt.key, "words": prompt.words, "speech_is_synthetic": False}
        yield MediaSample(f"{split}{i:06d}", media, metadata)


def write_prompt_shards(
    corpus: SpeechCorpus, folder: Path, split: str, samples_per_shard: int = 1000
) -> list[Path]:
    """Write a split as webdataset shards; see `prompt_samples` and `datamodules.shards.write_shards`."""
    return write_shards(folder, prompt_samples(corpus, split), corpus.sample_rate, samples_per_shard)
