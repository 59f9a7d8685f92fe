"""Batches of one shape: nothing real changes, the tail is samples of its own, nothing is asked of it."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from maskmm.filling import fill
from maskmm.masking.any_to_any import AnyToAnyMasking
from maskmm.masking.base import MaskedSequence
from maskmm.model import MaskedTransformer, TransformerConfig
from maskmm.packing import Packer
from maskmm.sequence import pack, unpack
from tests.contracts.random_batches import batches, vocabularies
from tests.maskmm.decoding.stubs import AUDIO, IMAGE, LABEL, TEXT, VOCABULARY, full_batch
from tokenizers_vq.contract import Key, TokenBatch, TokenBudget

PLAIN = [IMAGE, AUDIO, TEXT, LABEL]


def shapes(batch: MaskedSequence) -> list[tuple[int, ...]]:
    sequence = batch.inputs
    tensors = [
        *(sequence.ids, sequence.modality, sequence.position, sequence.segment, sequence.sample),
        *(sequence.cu_seqlens, sequence.sample_id, *vars(sequence.segments).values()),
        *(batch.mask_kind, batch.targets, batch.is_target, batch.part),
        *(tensor for t in batch.target_rows for tensor in (t.rows, t.codes, t.part, t.is_real)),
    ]
    return [tuple(tensor.shape) for tensor in tensors]


@settings(deadline=None, max_examples=40)
@given(
    data=st.data(),
    more_rows=st.integers(0, 40),
    more_samples=st.integers(0, 5),
    more_segments=st.integers(0, 5),
)
def test_only_the_tail_is_new(
    data: st.DataObject, more_rows: int, more_samples: int, more_segments: int
) -> None:
    vocabulary = data.draw(vocabularies())
    batch = data.draw(batches(vocabulary.modalities))
    plain = AnyToAnyMasking()(pack(batch, vocabulary), Key(1))
    num_rows, num_samples = plain.inputs.num_rows, plain.inputs.num_samples
    budget = TokenBudget(
        max(num_rows + more_rows, 1),
        max(num_samples + more_samples, 1),
        max(len(batch.segments) + more_segments, 1),
    )
    filled = fill(plain, budget)
    sequence = filled.inputs
    assert (sequence.num_rows, sequence.num_samples) == (budget.rows, budget.samples + 1)
    assert len(sequence.segments) == budget.segments
    for name in ("ids", "modality", "position", "segment", "sample"):
        assert torch.equal(getattr(sequence, name)[:num_rows], getattr(plain.inputs, name))
    for name in ("mask_kind", "targets", "is_target", "part"):
        assert torch.equal(getattr(filled, name)[:num_rows], getattr(plain, name))
    assert not filled.is_target[num_rows:].any() and (sequence.ids[num_rows:] == vocabulary.pad_id).all()
    # Offsets cover every row, and each row lies in the sample that it names.
    assert torch.equal(sequence.cu_seqlens[: num_samples + 1], plain.inputs.cu_seqlens)
    assert int(sequence.cu_seqlens[-1]) == budget.rows and bool((sequence.cu_seqlens.diff() >= 0).all())
    counts = torch.bincount(sequence.sample, minlength=budget.samples + 1)
    assert torch.equal(counts, sequence.cu_seqlens.diff())
    assert torch.equal(sequence.sample, sequence.sample.sort().values)
    assert bool((sequence.sample[num_rows:] >= num_samples).all())
    tail = counts[num_samples:]
    assert int(tail.max()) <= -(-(budget.rows - num_rows) // len(tail))
    whole, found = (
        unpack(plain.inputs.__class__(**{**vars(plain.inputs), "ids": plain.targets})),
        unpack(sequence.__class__(**{**vars(sequence), "ids": filled.targets})),
    )
    assert all(torch.equal(whole.codes[name], found.codes[name]) for name in whole.codes)


def test_every_batch_has_one_shape() -> None:
    packer = Packer(PLAIN, AnyToAnyMasking(), budget=TokenBudget(150, 6), target_capacity=100)
    found = {tuple(shapes(packer(full_batch(count), Key(count)))) for count in (1, 3, 4, 5)}
    found |= {tuple(shapes(packer(TokenBatch.from_samples([], PLAIN), Key(0))))}
    assert len(found) == 1


def test_features_of_real_rows_do_not_change() -> None:
    torch.manual_seed(0)
    model = MaskedTransformer(VOCABULARY, TransformerConfig(width=64, depth=2)).eval()
    plain = Packer(PLAIN, AnyToAnyMasking())(full_batch(4), Key(0))
    filled = Packer(PLAIN, AnyToAnyMasking(), budget=TokenBudget(160, 9))(full_batch(4), Key(0))
    num_rows = plain.inputs.num_rows
    with torch.no_grad():
        expected, found = model.forward_features(plain.inputs), model.forward_features(filled.inputs)
    torch.testing.assert_close(found[:num_rows], expected, atol=1e-5, rtol=1e-4)
    assert bool(found.isfinite().all())
    asked = {(t.name, t.codebook): t.rows[t.is_real].tolist() for t in filled.target_rows if t.is_real.any()}
    assert asked == {(t.name, t.codebook): t.rows.tolist() for t in plain.target_rows}
    assert torch.equal(plain.count_targets(), filled.count_targets())


@pytest.mark.parametrize("budget", [TokenBudget(20, 9), TokenBudget(200, 3), TokenBudget(200, 9, 5)])
def test_a_batch_over_the_budget_is_refused(budget: TokenBudget) -> None:
    with pytest.raises(ValueError, match=r"a pack of \d+ rows, 4 samples and \d+ segments does not fit"):
        Packer(PLAIN, AnyToAnyMasking(), budget=budget)(full_batch(4), Key(0))


def test_capacities_of_target_rows() -> None:
    names = VOCABULARY.names
    capacity = {name: 5 + index for index, name in enumerate(names)}
    packed = Packer(PLAIN, AnyToAnyMasking(), target_capacity=capacity)(full_batch(4), Key(0))
    assert all(len(t.rows) % capacity[t.name] == 0 for t in packed.target_rows)
    default = Packer(PLAIN, AnyToAnyMasking(), budget=TokenBudget(200, 9))
    assert default.target_capacity == 25
    for bad in (0, {"image": 3}, {**capacity, "video": 3}, {**capacity, "text": 0}):
        with pytest.raises(ValueError, match="target_capacity="):
            Packer(PLAIN, AnyToAnyMasking(), target_capacity=bad)


def test_the_tail_keeps_to_the_models_bound() -> None:
    longest = int(full_batch(4).segments.length.max()) * 4
    batch = Packer(PLAIN, AnyToAnyMasking(), budget=TokenBudget(400, 4, longest=longest))(
        full_batch(4), Key(0)
    )
    config = TransformerConfig(width=24, depth=1, max_length=longest)
    model = MaskedTransformer(batch.inputs.vocabulary, config)
    assert model(batch.inputs).shape == (400, 24)
    assert batch.inputs.num_samples == TokenBudget(400, 4, longest=longest).places
    unbound = Packer(PLAIN, AnyToAnyMasking(), budget=TokenBudget(400, 4))(full_batch(4), Key(0))
    with pytest.raises(ValueError, match="give it longest"):
        model(unbound.inputs)
