from pathlib import Path

import torch

from datamodules.corpora.digits.corpus import DigitsCorpus
from datamodules.media import DigitImages, DigitSpeech


def test_images(corpus: DigitsCorpus) -> None:
    data = DigitImages(batch_size=16, num_steps=5)
    batches = [batch["media"] for batch in data.train_dataloader()]
    assert len(batches) == len(data.train_dataloader()) == 5
    assert all(b.shape == (16, 1, 32, 32) and b.dtype == torch.float32 for b in batches)
    again = [
        batch["media"] for batch in DigitImages(batch_size=16, num_steps=5, num_workers=2).train_dataloader()
    ]
    assert all(torch.equal(a, b) for a, b in zip(batches, again))
    val = torch.cat([batch["media"] for batch in data.val_dataloader()])
    assert torch.equal(val, corpus.images("val").images)
    test = torch.cat([batch["media"] for batch in data.test_dataloader()])
    assert torch.equal(test, corpus.images("test").images)


def test_augmentation_is_the_same_at_any_batch_size() -> None:
    large = next(iter(DigitImages(batch_size=12, num_steps=1).train_dataloader()))["media"]
    small = [batch["media"] for batch in DigitImages(batch_size=4, num_steps=3).train_dataloader()]
    torch.testing.assert_close(torch.cat(small), large)


def test_speech(corpus: DigitsCorpus, speech_cache: Path) -> None:
    data = DigitSpeech(batch_size=8, num_steps=3, cache_dir=speech_cache)
    for batch in data.train_dataloader():
        media, lengths = batch["media"], batch["lengths"]
        assert media.shape == (8, int(lengths.max())) and media.dtype == torch.float32
        is_padding = torch.arange(media.shape[1]) >= lengths[:, None]
        assert not media[is_padding].any()
        assert torch.allclose(media.abs().amax(dim=1), torch.tensor(0.9))
    waveforms = corpus.speech("test").waveforms
    rows = [(m, n) for b in data.test_dataloader() for m, n in zip(b["media"], b["lengths"])]
    assert len(rows) == len(waveforms)
    assert all(torch.equal(media[:length], w) for (media, length), w in zip(rows, waveforms))
    assert sum(len(b["lengths"]) for b in data.val_dataloader()) == len(corpus.speech("val").waveforms)
