"""Crops of speech: their lengths and places, each second counted alike, the corpora asked for."""

from types import SimpleNamespace

import pytest
import torch

from datamodules import speech_media
from datamodules.plan import BatchPlan
from datamodules.speech_media import CroppedClips, SpeechCrops

LENGTHS = (30, 100, 250)


def clips(offset: float = 0.0) -> list[torch.Tensor]:
    """Each sample tells its clip and place."""
    return [offset + 1000.0 * i + torch.arange(length) for i, length in enumerate(LENGTHS)]


@pytest.fixture
def corpora(monkeypatch):
    """Both corpora replaced by small ones."""

    class Digits:
        def __init__(self, *args):
            pass

        def speech(self, split):
            return SimpleNamespace(waveforms=clips())

    class Prompts(Digits):
        def speech(self, split):
            return SimpleNamespace(waveforms=clips(10_000.0))

    monkeypatch.setattr(speech_media, "DigitsCorpus", Digits)
    monkeypatch.setattr(speech_media, "SpeechCorpus", Prompts)
    monkeypatch.setattr(speech_media, "SAMPLE_RATE", 100)


def test_crops_lie_in_their_clips_and_short_clips_stay_whole():
    make = CroppedClips(clips(), 50, torch.tensor([0, 1, 1, 2, 2, 2]), BatchPlan(6, 6, 0))
    batch = make(0)
    assert sorted(batch["lengths"].tolist()) == [30, 50, 50, 50, 50, 50]
    counts = {0: 0, 1: 0, 2: 0}
    for row, length in zip(batch["media"], batch["lengths"].tolist()):
        real = row[:length]
        counts[int(real[0]) // 1000] += 1
        assert torch.equal(real, real[0] + torch.arange(length))
        assert not row[length:].any()
    assert counts == {0: 1, 1: 2, 2: 3}


def test_places_differ_between_steps_and_not_between_calls():
    make = CroppedClips(clips(), 50, torch.tensor([2]), BatchPlan(1, 1, 0))
    places = [int(make(step)["media"][0, 0]) for step in range(40)]
    assert places == [int(make(step)["media"][0, 0]) for step in range(40)]
    assert min(places) >= 2000 and max(places) <= 2200
    assert len(set(places)) > 20


def test_ranks_share_a_step():
    plan, items = BatchPlan(6, 4, 0), torch.tensor([0, 1, 1, 2, 2, 2])
    whole = CroppedClips(clips(), 50, items, plan)(3)
    halves = [CroppedClips(clips(), 50, items, plan, rank, 2)(3) for rank in range(2)]
    firsts = sorted(float(x) for half in halves for x in half["media"][:, 0])
    assert firsts == sorted(float(x) for x in whole["media"][:, 0])


@pytest.mark.parametrize(
    "names, kinds", [(("digits",), {0}), (("prompts",), {1}), (("digits", "prompts"), {0, 1})]
)
def test_the_corpora_asked_for(corpora, names, kinds):
    data = SpeechCrops(4, 3, crop_s=0.5, corpora=names)
    seen = {int(x) // 10_000 for batch in data.train_dataloader() for x in batch["media"][:, 0]}
    assert seen == kinds
    whole = [int(n) for batch in data.test_dataloader() for n in batch["lengths"]]
    assert whole == sorted(LENGTHS * len(names))
    assert len(list(data.val_dataloader())) == -(-len(whole) // 4)


@pytest.mark.parametrize("names", [(), ("digits", "songs")])
def test_unknown_corpora_are_refused(names):
    with pytest.raises(ValueError, match="expected 'digits', 'prompts' or both"):
        SpeechCrops(4, 3, corpora=names)


def test_crops_of_nothing_are_refused():
    with pytest.raises(ValueError, match="crop_s=0"):
        SpeechCrops(4, 3, crop_s=0.0)
