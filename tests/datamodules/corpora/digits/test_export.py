from pathlib import Path

import torch
import webdataset

from datamodules.corpora.digits.captions import parse_caption
from datamodules.corpora.digits.corpus import DigitsCorpus
from datamodules.corpora.digits.export import paired_samples, write_digit_shards
from datamodules.shards import read_shards


def test_corpus_to_shards_and_back(corpus: DigitsCorpus, tmp_path: Path) -> None:
    paths = write_digit_shards(corpus, tmp_path / "val", "val", 50, seed=2, missing=0.3, samples_per_shard=20)
    assert [p.name for p in paths] == ["00000.tar", "00001.tar", "00002.tar"]
    read = list(read_shards(paths, 16_000))
    made = list(paired_samples(corpus, "val", 50, 2, 0.3))
    assert [s.key for s in read] == [s.key for s in made]
    for one, other in zip(read, made):
        assert one.metadata == other.metadata and set(one.media) == set(other.media)
        assert (one.media["image"][1] - other.media["image"][1]).abs().max() < 1 / 255
        if "text" in one.media:
            assert parse_caption(one.media["text"][1]) == one.metadata["label"]
        if "speech" in one.media:
            assert one.metadata["speech_is_synthetic"]
            assert torch.allclose(one.media["speech"][1], other.media["speech"][1], atol=1e-4)
    count = {name: sum(name in s.media for s in read) for name in ("image", "text", "speech")}
    assert count["image"] == 50 and 20 < count["text"] < 50 and 20 < count["speech"] < 50


def test_webdataset_reads_the_shards(corpus: DigitsCorpus, tmp_path: Path) -> None:
    paths = write_digit_shards(corpus, tmp_path / "test", "test", 6)
    dataset = webdataset.WebDataset([str(p) for p in paths], shardshuffle=False)
    samples = list(dataset)
    assert len(samples) == 6
    assert {"image.png", "text.txt", "speech.wav", "json"} <= set(samples[0])
