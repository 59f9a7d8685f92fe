"""Every masking of the package: a pure function of sample and key, that hides what it asks and changes nothing else."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from maskmm.masking.any_to_any import AnyToAnyMasking
from maskmm.masking.base import MaskedSequence, Masking
from maskmm.masking.continuous import InputsInsteadOfCodes
from maskmm.masking.hiding import WholeGroups
from maskmm.masking.left_out import LeaveOutMasked
from maskmm.sequence import TokenSequence, pack, take_samples
from tests.contracts.discovery import subclasses
from tests.contracts.random_batches import QUICK, batches, vocabularies
from tokenizers_vq.contract import Key

EXAMPLES: dict[type[Masking], list[Masking]] = {
    AnyToAnyMasking: [
        AnyToAnyMasking(),
        AnyToAnyMasking(single_target=0.3, condition_noise=0.4),
        AnyToAnyMasking(hiding=WholeGroups()),
    ],
    InputsInsteadOfCodes: [InputsInsteadOfCodes(AnyToAnyMasking())],
    LeaveOutMasked: [LeaveOutMasked(AnyToAnyMasking())],
}
ALL = [example for examples in EXAMPLES.values() for example in examples]


def test_every_masking_has_an_example() -> None:
    assert subclasses(Masking) == set(EXAMPLES)


@st.composite
def packed(draw: st.DrawFn) -> TokenSequence:
    vocabulary = draw(vocabularies())
    return pack(draw(batches(vocabulary.modalities)), vocabulary, has_cls=draw(st.booleans()))


@pytest.mark.parametrize("masking", ALL, ids=lambda m: type(m).__name__)
@QUICK
@given(packed(), st.integers(0, 5))
def test_it_hides_what_it_asks_and_changes_nothing_else(
    masking: Masking, sequence: TokenSequence, step: int
) -> None:
    before = sequence.ids.clone()
    masked = masking(sequence, Key(1, step)).with_target_rows()
    assert torch.equal(sequence.ids, before)
    is_hidden = masked.mask_kind > 0
    assert bool((masked.is_target <= is_hidden).all()) and bool((is_hidden <= sequence.has_codebook()).all())
    # A code that is not hidden stays, unless a continuous input stands in for it.
    with_inputs = torch.tensor([sequence.vocabulary.index(name) for name in sequence.inputs])
    has_input = torch.isin(sequence.modality, with_inputs)[:, None]
    is_bare = has_input & (masked.inputs.ids == sequence.vocabulary.pad_id)
    is_kept = ~is_hidden & ~is_bare
    assert torch.equal(masked.inputs.ids[is_kept], before[is_kept])
    assert torch.equal(masked.targets[masked.is_target], before[masked.is_target])
    assert bool(((masked.part >= 0) & (masked.part < len(masked.part_names))).all())
    asked = sum(len(rows.rows) for rows in masked.target_rows)
    assert asked == int(masked.is_target.sum())


def rows_of(masked: MaskedSequence, sample: int) -> list[list[int]]:
    columns = torch.cat([masked.inputs.ids, masked.mask_kind, masked.is_target.long(), masked.part], dim=1)
    return columns[masked.inputs.sample == sample].tolist()


@pytest.mark.parametrize("masking", ALL, ids=lambda m: type(m).__name__)
@QUICK
@given(packed(), st.randoms(use_true_random=False))
def test_a_sample_is_masked_alike_in_any_batch(masking: Masking, sequence: TokenSequence, random) -> None:  # type: ignore[no-untyped-def]
    order = list(range(sequence.num_samples))
    random.shuffle(order)
    together = masking(sequence, Key(2))
    shuffled = masking(take_samples(sequence, torch.tensor(order, dtype=torch.int64)), Key(2))
    for place, sample in enumerate(order):
        expected = rows_of(together, sample)
        assert rows_of(shuffled, place) == expected
        assert rows_of(masking(take_samples(sequence, torch.tensor([sample])), Key(2)), 0) == expected
