"""Which codes of a segment are hidden: whole groups or none of a group, as many as were asked for in the mean."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from maskmm.masking.any_to_any import AnyToAnyMasking
from maskmm.masking.hiding import EachCode, Hiding, WholeGroups
from maskmm.sequence import TokenSequence, pack, take_samples
from maskmm.vocabulary import Vocabulary
from tests.contracts.discovery import subclasses
from tests.contracts.random_batches import QUICK, batches, vocabularies
from tests.reference.naive_masking import whole_groups
from tokenizers_vq.contract import Key, Modality, TokenBatch, TokenSpec

EXAMPLES: dict[type[Hiding], Hiding] = {EachCode: EachCode(), WholeGroups: WholeGroups()}


def test_every_hiding_has_an_example() -> None:
    assert subclasses(Hiding) == set(EXAMPLES)


@st.composite
def grouped(draw: st.DrawFn) -> TokenSequence:
    """Packed rows in groups of any rows of their segments."""
    vocabulary = draw(vocabularies())
    sequence = pack(draw(batches(vocabulary.modalities)), vocabulary)
    number = Key(draw(st.integers(0, 99))).integers(5, torch.arange(sequence.num_rows)) - 1
    return replace(sequence, group=torch.where(sequence.segment >= 0, number, -1))


def asked(sequence: TokenSequence, seed: int) -> tuple[Tensor, Tensor]:
    index = torch.arange(len(sequence.segments))
    return Key(seed).uniform(index), Key(seed).integers(2, index)


@QUICK
@given(grouped(), st.integers(0, 9))
def test_whole_groups_are_the_twin_s(sequence: TokenSequence, seed: int) -> None:
    ratio, least = asked(sequence, seed)
    found = WholeGroups()(sequence, ratio, least, Key(seed))
    assert torch.equal(found, whole_groups(sequence, ratio, least, Key(seed)))


@pytest.mark.parametrize("hiding", EXAMPLES.values(), ids=lambda h: type(h).__name__)
@QUICK
@given(grouped(), st.integers(0, 9))
def test_where_something_must_be_hidden_it_is_and_only_codes_are(
    hiding: Hiding, sequence: TokenSequence, seed: int
) -> None:
    ratio, least = asked(sequence, seed)
    is_hidden = hiding(sequence, ratio, least, Key(seed))
    assert bool((is_hidden <= sequence.has_codebook()).all())
    for segment in range(len(sequence.segments)):
        mine = is_hidden[sequence.segment == segment]
        has_codes = bool(sequence.has_codebook()[sequence.segment == segment].any())
        assert not has_codes or int(mine.sum()) >= int(least[segment])


@QUICK
@given(grouped(), st.integers(0, 9))
def test_a_group_is_hidden_whole_or_not_at_all(sequence: TokenSequence, seed: int) -> None:
    masked = AnyToAnyMasking(hiding=WholeGroups(), condition_noise=0.5)(sequence, Key(seed))
    assert sequence.group is not None
    for segment in range(len(sequence.segments)):
        for group in range(4):
            rows = (sequence.segment == segment) & (sequence.group == group)
            for values in (masked.mask_kind[rows], masked.is_target[rows]):
                assert not len(values) or bool((values == values[0]).all())


@QUICK
@given(grouped(), st.integers(0, 9), st.integers(1, 70))
def test_how_large_the_numbers_of_groups_are_changes_nothing(
    sequence: TokenSequence, seed: int, step: int
) -> None:
    assert sequence.group is not None
    large = replace(
        sequence, group=torch.where(sequence.group >= 0, 7 + step * sequence.group, sequence.group)
    )
    ratio, least = asked(sequence, seed)
    found, wanted = (WholeGroups()(s, ratio, least, Key(seed)) for s in (large, sequence))
    assert torch.equal(found, wanted)


@QUICK
@given(grouped(), st.integers(0, 9))
def test_without_groups_each_code_is_on_its_own(sequence: TokenSequence, seed: int) -> None:
    bare, (ratio, least) = replace(sequence, group=None), asked(sequence, seed)
    assert torch.equal(
        WholeGroups()(bare, ratio, least, Key(seed)), EachCode()(bare, ratio, least, Key(seed))
    )


TEXT = Modality("text", TokenSpec(13, axes=("t",), max_length=9))


def words(lengths: list[int], num_samples: int) -> TokenSequence:
    """Samples of one text each, in words of these lengths."""
    codes = torch.zeros(sum(lengths), 1, dtype=torch.int64)
    batch = TokenBatch.from_samples([{TEXT.name: codes}] * num_samples, [TEXT])
    group = torch.arange(len(lengths)).repeat_interleave(torch.tensor(lengths)).repeat(num_samples)
    return pack(replace(batch, group={TEXT.name: group}), Vocabulary([TEXT]))


@pytest.mark.parametrize("ratio", [0.15, 0.4, 0.8])
def test_the_ratio_is_kept_in_the_mean(ratio: float) -> None:
    lengths, num_samples = [1, 3, 2, 1], 4000
    sequence = words(lengths, num_samples)
    ratios = torch.full((num_samples,), ratio)
    nothing = torch.zeros(num_samples, dtype=torch.int64)
    is_hidden = WholeGroups()(sequence, ratios, nothing, Key(0))
    wanted = round(ratio * sum(lengths))
    assert float(is_hidden.sum()) / num_samples == pytest.approx(wanted, abs=0.06)


def test_a_sample_is_hidden_alike_in_any_batch() -> None:
    sequence = words([2, 1, 3], 5)
    masking = AnyToAnyMasking(hiding=WholeGroups())
    together = masking(sequence, Key(1))
    alone = masking(take_samples(sequence, torch.tensor([3])), Key(1))
    assert torch.equal(alone.mask_kind, together.mask_kind[sequence.sample == 3])
