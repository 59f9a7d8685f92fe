"""TokenBatch: what it refuses, and what it says of its segments (its properties are in maskmm/test_sequence.py)."""

from __future__ import annotations

import pytest
import torch

from tokenizers_vq.contract import Modality, TokenBatch, TokenSpec

IMAGE = Modality("image", TokenSpec(9, 1, ("y", "x"), (2, 2)))
TEXT = Modality("text", TokenSpec(5, 2, ("t",), max_length=3))
LABEL = Modality("label", TokenSpec(4))
MODALITIES = [IMAGE, TEXT, LABEL]


def test_segments_keep_the_samples_order_and_shape() -> None:
    image = torch.arange(4).view(2, 2, 1)
    text = [torch.zeros(3, 2, dtype=torch.int64), torch.ones(1, 2, dtype=torch.int64)]
    batch = TokenBatch.from_samples(
        [{"text": text, "image": image}, {}, {"label": torch.tensor([3])}], MODALITIES
    )
    table = batch.segments
    assert batch.num_samples == 3 and len(table) == 4
    assert table.sample.tolist() == [0, 0, 0, 2]
    assert table.modality.tolist() == [1, 1, 0, 2]
    assert table.start.tolist() == [0, 3, 0, 0]
    assert table.shape.tolist() == [[3, 1], [1, 1], [2, 2], [1, 1]]
    assert table.length.tolist() == [3, 1, 4, 1]
    assert batch.sample_id.tolist() == [0, 1, 2]
    samples = batch.samples(MODALITIES)
    assert samples[1] == {}
    assert torch.equal(samples[0]["image"][0], image)
    assert [t.shape for t in samples[0]["text"]] == [(3, 2), (1, 2)]
    assert samples[2]["label"][0].tolist() == [3]


def test_all_codes_are_int64() -> None:
    batch = TokenBatch.from_samples([{"label": torch.tensor([3], dtype=torch.uint8)}], MODALITIES)
    assert {c.dtype for c in batch.codes.values()} == {torch.int64}


def test_a_batch_of_nothing() -> None:
    batch = TokenBatch.from_samples([], MODALITIES)
    assert batch.num_samples == 0 and len(batch.segments) == 0
    assert {name: tuple(c.shape) for name, c in batch.codes.items()} == {
        "image": (0, 1),
        "text": (0, 2),
        "label": (0, 1),
    }


def test_refused_samples() -> None:
    with pytest.raises(ValueError, match=r"sample 1 has modality 'smell', expected one of \('image', 'text'"):
        TokenBatch.from_samples([{}, {"smell": torch.zeros(1)}], MODALITIES)
    with pytest.raises(ValueError, match="sample 0, text: codes from 5 to 5"):
        TokenBatch.from_samples([{"text": torch.full((2, 2), 5)}], MODALITIES)
    with pytest.raises(ValueError, match=r"sample_id of shape \(2,\) for 1 samples"):
        TokenBatch.from_samples([{}], MODALITIES, torch.arange(2))


def test_an_empty_sample_stays_when_its_segments_go() -> None:
    batch = TokenBatch.from_samples([{"label": torch.tensor([3])}, {"label": torch.tensor([1])}], MODALITIES)
    kept = batch.keep_segments(torch.tensor([False, True]))
    assert kept.num_samples == 2 and kept.codes["label"].tolist() == [[1]]
    assert kept.segments.start.tolist() == [0] and kept.segments.sample.tolist() == [1]
