"""How long new segments become."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from maskmm.decoding import GivenLength, Guidance, LengthPolicy, SameLengthAs, SampledLength
from maskmm.decoding.draft import Draft
from maskmm.sequence import TokenSequence, pack
from maskmm.vocabulary import Vocabulary
from tests.maskmm.decoding.stubs import (
    AUDIO,
    IMAGE,
    LABEL,
    MODALITIES,
    TEXT,
    VOCABULARY,
    HashModel,
    OracleModel,
    StubModel,
    full_batch,
)
from tokenizers_vq.contract import Key, Modality, TokenBatch

BATCH = full_batch(6)
ALL = torch.ones(6, dtype=torch.bool)


def conditions(*names: str) -> Draft:
    kept = torch.zeros(len(BATCH.segments), dtype=torch.bool)
    for name in names:
        kept |= BATCH.segments.modality == BATCH.names.index(name)
    return Draft(BATCH.keep_segments(kept))


def ask(
    policy: LengthPolicy, draft: Draft, modality: Modality = AUDIO, model: StubModel | None = None
) -> Tensor:
    return policy(model or HashModel(), draft, modality, ALL, Key(0))


def test_given_for_all_or_for_each() -> None:
    assert ask(GivenLength(4), conditions("text")).tolist() == [4] * 6
    assert ask(GivenLength([1, 2, 3, 4, 5, 6]), conditions()).tolist() == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("bad", [0, 7, [1, 2, 3, 4, 5, 7]])
def test_given_out_of_range(bad: int | list[int]) -> None:
    with pytest.raises(ValueError, match="the varying axis takes 1 to 6 tokens"):
        ask(GivenLength(bad), conditions("text"))


def test_given_for_another_number_of_samples() -> None:
    with pytest.raises(ValueError, match="2 lengths for 6 samples; give one for each"):
        ask(GivenLength([1, 2]), conditions("text"))


def test_same_as_another_modality() -> None:
    assert ask(SameLengthAs("text"), conditions("text", "image")).tolist() == [1, 2, 3, 4, 5, 1]


def test_same_as_the_first_of_several_segments() -> None:
    two = [{"text": [torch.zeros(n, 1, dtype=torch.int64) for n in (2, 4)]}] * 6
    draft = Draft(TokenBatch.from_samples(two, MODALITIES))
    assert ask(SameLengthAs("text"), draft).tolist() == [2] * 6


def test_same_as_something_that_cannot_say() -> None:
    with pytest.raises(ValueError, match=r"samples \[0, 1, 2, 3, 4, 5\] have no 'text' to take the length"):
        ask(SameLengthAs("text"), conditions("image"))
    with pytest.raises(ValueError, match="'image' has axes .* expected one named 't'"):
        ask(SameLengthAs("image"), conditions("image"))


def oracle_of_lengths() -> OracleModel:
    """Knows the text and the length of the clip of each sample."""
    samples = [
        {"text": s["text"][0], "audio.length": torch.tensor([b % 6])}
        for b, s in enumerate(BATCH.samples(VOCABULARY.modalities))
    ]
    return OracleModel(pack(TokenBatch.from_samples(samples, MODALITIES, BATCH.sample_id), VOCABULARY))


@pytest.mark.parametrize("guidance", [Guidance(), Guidance(3.0)], ids=repr)
def test_sampled_takes_one_forward_and_is_code_plus_one(guidance: Guidance) -> None:
    model = oracle_of_lengths()
    assert ask(SampledLength(guidance=guidance), conditions("text"), AUDIO, model).tolist() == [
        1,
        2,
        3,
        4,
        5,
        6,
    ]
    assert model.num_forwards == 1


def test_sampled_only_for_the_samples_that_want_one() -> None:
    model, is_wanted = HashModel(), torch.tensor([True, False] * 3)
    lengths = SampledLength()(model, conditions("text"), AUDIO, is_wanted, Key(0))
    assert model.samples_seen == [[100, 102, 104]]
    every = ask(SampledLength(), conditions("text"))
    assert torch.equal(lengths[is_wanted], every[is_wanted])


def test_sampled_varies_with_the_seed_unless_the_temperature_is_zero() -> None:
    draft, model = conditions("text"), HashModel()
    runs = {
        t: [SampledLength(t)(model, draft, AUDIO, ALL, Key(s)).tolist() for s in range(4)] for t in (0.0, 1.0)
    }
    assert all(run == runs[0.0][0] for run in runs[0.0])
    assert any(run != runs[1.0][0] for run in runs[1.0])


def test_sampled_sees_unknown_slots_as_masks() -> None:
    """What the batch holds in a slot that is still to be found must not leak into the length."""
    is_unknown = {"image": torch.ones(72, 1, dtype=torch.bool)}
    draft = replace(conditions("text", "image"), is_unknown=is_unknown)
    codes = {**draft.batch.codes, "image": torch.zeros(72, 1, dtype=torch.int64)}
    blank = replace(draft, batch=replace(draft.batch, codes=codes))
    assert torch.equal(ask(SampledLength(), draft), ask(SampledLength(), blank))


def test_sampled_from_a_model_without_length_labels() -> None:
    model = HashModel(Vocabulary([IMAGE, AUDIO, TEXT, LABEL]))
    with pytest.raises(ValueError, match=r"no 'audio.length' .* give the lengths, or train with"):
        SampledLength()(model, conditions("text"), AUDIO, ALL, Key(0))
    with pytest.raises(ValueError, match="temperature=-1"):
        SampledLength(-1.0)


def test_length_label_is_not_left_in_the_batch() -> None:
    draft = conditions("text")
    ask(SampledLength(), draft)
    sequence, _ = draft.sequence(VOCABULARY, "audio")
    assert isinstance(sequence, TokenSequence) and sequence.num_rows == 6 + 16
