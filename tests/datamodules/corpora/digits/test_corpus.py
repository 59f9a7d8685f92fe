from pathlib import Path

import pytest
import torch

from datamodules.corpora.digits.captions import parse_caption
from datamodules.corpora.digits.corpus import DigitsCorpus
from datamodules.corpora.splits import SPLITS, split_groups, split_items
from tokenizers_vq.contract import Key


def test_images_are_split_by_item(corpus: DigitsCorpus) -> None:
    ids = [corpus.images(split).item_ids for split in SPLITS]
    assert torch.equal(torch.cat(ids).sort().values, torch.arange(1797))
    assert [len(i) for i in ids] == [1439, 179, 179]
    for split in SPLITS:
        images, labels, item_ids = corpus.images(split)
        assert len(images) == len(labels) == len(item_ids)
        share = labels.bincount(minlength=10) / len(labels)
        assert (share - 0.1).abs().max() < 0.01


def test_speech_is_split_by_timbre(corpus: DigitsCorpus) -> None:
    timbres = [set(corpus.speech(split).timbres) for split in SPLITS]
    assert sum(len(t) for t in timbres) == len(set.union(*timbres)) == 32
    assert all(len(t) >= 2 for t in timbres)
    for split in SPLITS:
        speech = corpus.speech(split)
        assert len(speech.waveforms) == len(speech.labels) == len(speech.timbres) == len(speech.variants)
        assert speech.labels.bincount().unique().numel() == 1
        assert all(w.ndim == 1 and w.dtype == torch.float32 for w in speech.waveforms)


def test_splits_are_a_function_of_the_seed(corpus: DigitsCorpus, speech_cache: Path) -> None:
    same, other = DigitsCorpus(0, speech_cache), DigitsCorpus(1, speech_cache)
    assert torch.equal(same.images("test").item_ids, corpus.images("test").item_ids)
    assert same.timbres == corpus.timbres
    assert not torch.equal(other.images("test").item_ids, corpus.images("test").item_ids)
    assert other.timbres != corpus.timbres


def test_pairs_agree_in_class_within_the_split(corpus: DigitsCorpus) -> None:
    pairs = corpus.pairs("val", Key(0), torch.arange(2000))
    texts, text_labels = corpus.captions()
    assert torch.equal(corpus.images("val").labels[pairs.image], pairs.label)
    assert torch.equal(text_labels[pairs.caption], pairs.label)
    assert torch.equal(corpus.speech("val").labels[pairs.clip], pairs.label)
    assert parse_caption(texts[int(pairs.caption[0])]) == int(pairs.label[0])
    assert len(pairs.image.unique()) == 179 and len(pairs.caption.unique()) == 280
    alone = corpus.pairs("val", Key(0), torch.tensor([7]))
    assert int(alone.clip) == int(pairs.clip[7]) and int(alone.image) == int(pairs.image[7])


def test_unknown_split_is_named(corpus: DigitsCorpus) -> None:
    with pytest.raises(ValueError, match="split 'valid', expected one of train, val, test"):
        corpus.images("valid")


def test_small_splits() -> None:
    groups = split_groups(6, Key(0))
    assert [len(groups[s]) for s in SPLITS] == [2, 2, 2]
    with pytest.raises(ValueError, match="5 groups"):
        split_groups(5, Key(0))
    parts = split_items(torch.arange(3).repeat(20), Key(1))
    assert [len(parts[s]) for s in SPLITS] == [48, 6, 6]
