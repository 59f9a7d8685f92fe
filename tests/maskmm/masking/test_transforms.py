"""Batch transforms: how many modalities stay, which lengths are asked, and that a sample decides for itself."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import pytest
import torch

from maskmm.masking.transforms import DropModalities, LengthQueries
from maskmm.sequence import pack
from tests.maskmm.conftest import ToyImage, ToyText
from tests.maskmm.decoding.stubs import AUDIO, IMAGE, MODALITIES, TEXT, VOCABULARY, full_batch
from tokenizers_vq.contract import BatchTransform, Key, ModalitySource, TokenBatch

KEY = Key(4, step=2).fold("transform 0")


def samples_of(batch: TokenBatch) -> dict[int, dict[str, list[list[int]]]]:
    """sample id -> modality -> flat codes of its segments."""
    samples = batch.samples(MODALITIES)
    return {
        int(sample_id): {name: [c.flatten().tolist() for c in codes] for name, codes in sample.items()}
        for sample_id, sample in zip(batch.sample_id, samples)
    }


def taken(batch: TokenBatch, index: list[int]) -> TokenBatch:
    samples = batch.samples(MODALITIES)
    return TokenBatch.from_samples([samples[i] for i in index], MODALITIES, batch.sample_id[index])


def test_each_number_of_modalities_has_its_weight() -> None:
    kept = samples_of(DropModalities([1.0, 2.0, 1.0])(full_batch(4000), KEY))
    assert len(kept) == 4000
    shares = [sum(len(sample) == size for sample in kept.values()) / 4000 for size in (1, 2, 3)]
    assert shares == pytest.approx([0.25, 0.5, 0.25], abs=0.03)
    for size in (1, 2):
        of_size = [frozenset(sample) for sample in kept.values() if len(sample) == size]
        for names in combinations(("audio", "image", "text"), size):
            assert of_size.count(frozenset(names)) / len(of_size) == pytest.approx(1 / 3, abs=0.05)


def test_samples_with_fewer_keep_what_they_have() -> None:
    batch = full_batch(30)
    only_text = batch.keep_segments(batch.segments.modality == batch.names.index("text"))
    assert samples_of(DropModalities([0.0, 0.0, 1.0])(only_text, KEY)) == samples_of(only_text)
    assert samples_of(DropModalities([1.0])(only_text, KEY)) == samples_of(only_text)
    nothing = batch.keep_segments(torch.zeros(len(batch.segments), dtype=torch.bool))
    assert DropModalities()(nothing, KEY).num_samples == 30


def test_what_is_kept_is_unchanged() -> None:
    batch = full_batch(40)
    before, after = samples_of(batch), samples_of(DropModalities()(batch, KEY))
    for sample_id, sample in after.items():
        assert sample and all(before[sample_id][name] == codes for name, codes in sample.items())


@pytest.mark.parametrize("transform", [DropModalities(), LengthQueries(MODALITIES, 0.5)], ids=["drop", "ask"])
def test_a_sample_decides_for_itself(transform: BatchTransform) -> None:
    batch = full_batch(12)
    together = samples_of(transform(batch, KEY))
    for index in ([5], [9, 2, 7, 0]):
        part = samples_of(transform(taken(batch, index), KEY))
        assert part == {sample_id: together[sample_id] for sample_id in part}
    assert samples_of(transform(batch, KEY.at(3))) != together


@pytest.mark.parametrize("bad", [[], [-0.1, 1.0], [0.0, 0.0]])
def test_bad_weights(bad: list[float]) -> None:
    with pytest.raises(ValueError, match="expected weights of at least 0 with a positive sum"):
        DropModalities(bad)


def test_a_length_takes_the_place_of_one_segment() -> None:
    batch = full_batch(1000)
    before, after = samples_of(batch), samples_of(LengthQueries(MODALITIES, 0.4)(batch, KEY))
    asked: list[str] = []
    for sample_id, sample in after.items():
        labels = [name for name in sample if name.endswith(".length")]
        assert len(labels) <= 1
        asked += labels
        for name, codes in before[sample_id].items():
            if f"{name}.length" in labels:
                num_codebooks = {"audio": AUDIO, "text": TEXT}[name].spec.num_codebooks
                assert name not in sample
                assert sample[f"{name}.length"] == [[len(codes[0]) // num_codebooks - 1]]
            else:
                assert sample[name] == codes
    assert len(asked) / 1000 == pytest.approx(0.4, abs=0.05)
    assert asked.count("audio.length") / len(asked) == pytest.approx(0.5, abs=0.08)


@pytest.mark.parametrize("probability", [0.0, 1.0])
def test_never_and_always(probability: float) -> None:
    batch = LengthQueries(MODALITIES, probability)(full_batch(20), KEY)
    assert batch.names[-2:] == ("audio.length", "text.length") or set(batch.names) >= {"audio.length"}
    num_labels = sum(any(n.endswith(".length") for n in sample) for sample in samples_of(batch).values())
    assert num_labels == 20 * probability
    pack(batch, VOCABULARY)


def test_samples_of_fixed_size_are_never_asked() -> None:
    batch = full_batch(20)
    only_images = batch.keep_segments(batch.segments.modality == batch.names.index("image"))
    assert samples_of(LengthQueries(MODALITIES, 1.0)(only_images, KEY)) == samples_of(only_images)


def test_other_tensors_follow_their_segments() -> None:
    batch = full_batch(10)
    inputs = {"image": torch.arange(120.0)[:, None], "text": batch.codes["text"].float()}
    extended = TokenBatch(batch.names, batch.codes, batch.segments, batch.sample_id, inputs)
    out = LengthQueries([IMAGE, TEXT], 1.0)(extended, KEY)
    assert torch.equal(out.inputs["image"], inputs["image"]) and not len(out.inputs["text"])


def test_specs_come_from_the_tokenizers_folders(tmp_path: Path) -> None:
    ToyText().save(tmp_path / "text")
    ToyImage().save(tmp_path / "image")
    sources = [ModalitySource(name, str(tmp_path / name)) for name in ("text", "image")]
    assert list(LengthQueries(sources).specs) == ["text"]


@pytest.mark.parametrize("bad", [-0.1, 1.1])
def test_bad_probability(bad: float) -> None:
    with pytest.raises(ValueError, match=f"probability={bad}"):
        LengthQueries(MODALITIES, bad)
