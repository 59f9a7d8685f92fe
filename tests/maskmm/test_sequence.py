"""Packing: against the naive twin, and every operation that must be an exact inverse."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from maskmm.sequence import TokenSequence, concatenate, pack, take_samples, unpack
from maskmm.vocabulary import Vocabulary
from tests.contracts.random_batches import QUICK, batches, vocabularies
from tests.reference.naive_sequence import pack_rows
from tokenizers_vq.contract import Modality, SegmentTable, TokenBatch, TokenSpec
from tokenizers_vq.contract.batch import Sample

IMAGE = Modality("image", TokenSpec(7, 1, ("y", "x"), (2, 3)))
AUDIO = Modality("audio", TokenSpec(5, 2, ("t",), max_length=6))
LABEL = Modality("label", TokenSpec(4))
VOCABULARY = Vocabulary([IMAGE, AUDIO, LABEL], num_mask_kinds=2)


def assert_same(left: Any, right: Any, where: str = "") -> None:
    """Equal to the bit, through dataclasses and dicts of tensors."""
    assert type(left) is type(right), where
    if isinstance(left, Tensor):
        assert left.dtype == right.dtype and torch.equal(left, right), f"{where}: {left} against {right}"
    elif isinstance(left, (TokenSequence, TokenBatch, SegmentTable)):
        for f in fields(left):
            assert_same(getattr(left, f.name), getattr(right, f.name), f"{where}.{f.name}")
    elif isinstance(left, dict):
        assert left.keys() == right.keys(), where
        for key in left:
            assert_same(left[key], right[key], f"{where}[{key}]")
    else:
        assert left == right, where


def without_empty(batch: TokenBatch) -> TokenBatch:
    """Optional fields of modalities that have no rows at all cannot travel through rows."""
    has_rows = {name: codes.shape[0] > 0 for name, codes in batch.codes.items()}

    def kept(values: dict[str, Tensor]) -> dict[str, Tensor]:
        return {name: value for name, value in values.items() if has_rows[name]}

    return replace(
        batch, inputs=kept(batch.inputs), condition_codes=kept(batch.condition_codes), group=kept(batch.group)
    )


def joined(left: TokenBatch, right: TokenBatch) -> TokenBatch:
    """The samples of both batches as one batch, by its flat fields."""
    filled = torch.tensor([left.codes[name].shape[0] for name in left.names])
    a, b = left.segments, right.segments
    table = SegmentTable(
        torch.cat([a.sample, b.sample + left.num_samples]),
        torch.cat([a.modality, b.modality]),
        torch.cat([a.start, b.start + filled[b.modality]]),
        torch.cat([a.shape, b.shape]),
    )

    def both(field_name: str) -> dict[str, Tensor]:
        one, two = getattr(left, field_name), getattr(right, field_name)
        return {name: torch.cat([one[name], two[name]]) for name in one}

    return TokenBatch(
        left.names,
        both("codes"),
        table,
        torch.cat([left.sample_id, right.sample_id]),
        both("inputs"),
        both("condition_codes"),
        both("group"),
    )


@QUICK
@given(st.data(), vocabularies(), st.booleans())
def test_pack_equals_the_naive_loop(data: st.DataObject, vocabulary: Vocabulary, has_cls: bool) -> None:
    batch = data.draw(batches(vocabulary.modalities))
    sequence = pack(batch, vocabulary, has_cls)
    rows = pack_rows(batch, vocabulary, has_cls)
    assert sequence.num_rows == len(rows)
    assert sequence.ids.tolist() == [r.ids for r in rows]
    assert sequence.position.tolist() == [r.position for r in rows]
    for name in ("sample", "segment", "modality"):
        assert getattr(sequence, name).tolist() == [getattr(r, name) for r in rows]
    assert sequence.row_in_sample().tolist() == _ranks([r.sample for r in rows])
    ranks = _ranks([r.segment for r in rows])
    assert sequence.row_in_segment().tolist() == [0 if r.segment < 0 else n for r, n in zip(rows, ranks)]
    assert sequence.cu_seqlens.tolist() == [
        sum(r.sample < b for r in rows) for b in range(batch.num_samples + 1)
    ]
    assert (sequence.condition_ids is None) == (not batch.condition_codes)
    if sequence.condition_ids is not None:
        assert sequence.condition_ids.tolist() == [r.condition_ids for r in rows]
    if sequence.group is not None:
        assert sequence.group.tolist() == [r.group for r in rows]
    for index, name in enumerate(vocabulary.names, start=1):
        if name in batch.inputs:
            expected = [r.inputs for r in rows if r.modality == index]
            assert sequence.inputs[name].tolist() == expected
    num_codebooks = [vocabulary.spec(vocabulary.names[r.modality - 1]).num_codebooks for r in rows]
    expected_has = [
        [r.modality > 0 and q < n for q in range(vocabulary.num_codebooks)]
        for r, n in zip(rows, num_codebooks)
    ]
    assert sequence.has_codebook().tolist() == expected_has


def _ranks(values: list[int]) -> list[int]:
    return [values[:i].count(v) for i, v in enumerate(values)]


@QUICK
@given(st.data(), vocabularies(), st.booleans())
def test_unpack_is_the_exact_inverse(data: st.DataObject, vocabulary: Vocabulary, has_cls: bool) -> None:
    batch = data.draw(batches(vocabulary.modalities))
    sequence = pack(batch, vocabulary, has_cls)
    again = unpack(sequence)
    assert_same(without_empty(again), without_empty(batch))
    assert_same(pack(again, vocabulary, has_cls).ids, sequence.ids)


@QUICK
@given(st.data(), vocabularies())
def test_samples_invert_from_samples(data: st.DataObject, vocabulary: Vocabulary) -> None:
    modalities = vocabulary.modalities
    batch = data.draw(batches(modalities, with_extras=False))
    again = TokenBatch.from_samples(batch.samples(modalities), modalities, batch.sample_id)
    assert_same(again, batch)


@QUICK
@given(st.data(), vocabularies(), st.booleans(), st.booleans())
def test_concatenate_is_packing_the_concatenated_samples(
    data: st.DataObject, vocabulary: Vocabulary, has_cls: bool, with_extras: bool
) -> None:
    left = data.draw(batches(vocabulary.modalities, with_extras))
    right = data.draw(batches(vocabulary.modalities, with_extras))
    together = concatenate([pack(left, vocabulary, has_cls), pack(right, vocabulary, has_cls)])
    assert_same(together, pack(joined(left, right), vocabulary, has_cls))
    assert_same(concatenate([together]), together)


@QUICK
@given(st.data(), vocabularies())
def test_keep_segments_equals_packing_only_those(data: st.DataObject, vocabulary: Vocabulary) -> None:
    batch = data.draw(batches(vocabulary.modalities))
    is_kept = torch.tensor(
        data.draw(st.lists(st.booleans(), min_size=len(batch.segments), max_size=len(batch.segments))),
        dtype=torch.bool,
    )
    kept = batch.keep_segments(is_kept)
    rows = [
        r
        for r in pack_rows(batch, vocabulary, vocabulary.has_cls)
        if max(r.segment, r.closes) < 0 or bool(is_kept[max(r.segment, r.closes)])
    ]
    sequence = pack(kept, vocabulary)
    assert kept.num_samples == batch.num_samples
    assert sequence.ids.tolist() == [r.ids for r in rows]
    assert sequence.position.tolist() == [r.position for r in rows]
    for index, name in enumerate(vocabulary.names, start=1):
        if name in batch.inputs:
            assert sequence.inputs[name].tolist() == [r.inputs for r in rows if r.modality == index]
    assert_same(without_empty(unpack(sequence)), without_empty(kept))


@QUICK
@given(st.data(), vocabularies())
def test_keep_segments_follows_start_in_a_reordered_table(
    data: st.DataObject, vocabulary: Vocabulary
) -> None:
    batch = data.draw(batches(vocabulary.modalities))
    order = torch.tensor(data.draw(st.permutations(range(len(batch.segments)))), dtype=torch.int64)
    table = batch.segments
    moved = replace(
        batch,
        segments=SegmentTable(
            table.sample, table.modality[order], table.start[order], table.shape[order]
        ),  # other segments for each sample
    )
    everything = torch.ones(len(table), dtype=torch.bool)
    assert_same(
        pack(moved.keep_segments(everything), vocabulary).ids, pack(moved, vocabulary).ids, "reordered"
    )


@QUICK
@given(st.data(), vocabularies())
def test_select_rows_equals_indexing_each_field(data: st.DataObject, vocabulary: Vocabulary) -> None:
    sequence = pack(data.draw(batches(vocabulary.modalities, with_extras=True)), vocabulary)
    num = sequence.num_rows
    is_kept = torch.tensor(data.draw(st.lists(st.booleans(), min_size=num, max_size=num)), dtype=torch.bool)
    part = sequence.select_rows(is_kept)
    for name in ("ids", "modality", "position", "segment", "sample", "condition_ids", "group"):
        assert torch.equal(getattr(part, name), getattr(sequence, name)[is_kept])
    lengths = [int((is_kept & (sequence.sample == b)).sum()) for b in range(sequence.num_samples)]
    assert part.cu_seqlens.diff().tolist() == lengths
    for index, name in enumerate(vocabulary.names, start=1):
        assert torch.equal(part.inputs[name], sequence.inputs[name][is_kept[sequence.modality == index]])
    assert_same(sequence.select_rows(is_kept.nonzero().flatten()), part)


@QUICK
@given(st.data(), vocabularies(), st.booleans())
def test_take_samples_in_any_order(data: st.DataObject, vocabulary: Vocabulary, has_cls: bool) -> None:
    batch = data.draw(batches(vocabulary.modalities, with_extras=True))
    sequence, num = pack(batch, vocabulary, has_cls), batch.num_samples
    chosen = data.draw(st.lists(st.integers(0, num - 1), max_size=6)) if num else []
    taken = take_samples(sequence, torch.tensor(chosen, dtype=torch.int64))
    spans = [sequence.select_rows(sequence.sample == b) for b in chosen]
    for name in ("ids", "modality", "position", "condition_ids", "group"):
        expected = [getattr(s, name) for s in spans]
        assert torch.equal(getattr(taken, name), torch.cat(expected or [getattr(sequence, name)[:0]]))
    again = unpack(taken)
    samples = batch.samples(vocabulary.modalities)
    assert_samples_equal(again.samples(vocabulary.modalities), [samples[b] for b in chosen])
    assert again.sample_id.tolist() == [int(batch.sample_id[b]) for b in chosen]
    for name in vocabulary.names:
        expected = [s.inputs[name] for s in spans]
        assert torch.equal(again.inputs[name], torch.cat(expected or [sequence.inputs[name][:0]]))


def assert_samples_equal(left: list[dict[str, list[Tensor]]], right: list[dict[str, list[Tensor]]]) -> None:
    assert [list(sample) for sample in left] == [list(sample) for sample in right]
    for one, two in zip(left, right):
        for name in one:
            assert len(one[name]) == len(two[name])
            assert all(torch.equal(a, b) for a, b in zip(one[name], two[name]))


@QUICK
@given(st.data(), vocabularies())
def test_hide_replaces_only_what_it_is_told(data: st.DataObject, vocabulary: Vocabulary) -> None:
    sequence = pack(data.draw(batches(vocabulary.modalities)), vocabulary)
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 99)))
    kind = torch.randint(0, vocabulary.num_mask_kinds + 1, sequence.ids.shape, generator=generator)
    kind = torch.where(sequence.has_codebook(), kind, 0)
    hidden = sequence.hide(kind)
    assert torch.equal(hidden.ids[kind == 0], sequence.ids[kind == 0])
    for k in range(1, vocabulary.num_mask_kinds + 1):
        assert bool((hidden.ids[kind == k] == vocabulary.mask_id(k)).all())


def example_sequence() -> TokenSequence:
    samples: list[Sample] = [
        {"image": torch.arange(6).view(2, 3, 1), "label": torch.tensor([1])},
        {"audio": [torch.ones(3, 2, dtype=torch.int64), torch.zeros(1, 2, dtype=torch.int64)]},
    ]
    return pack(TokenBatch.from_samples(samples, VOCABULARY.modalities), VOCABULARY)


def test_segments_of_a_closed_modality_end_with_sep() -> None:
    text = Modality("text", TokenSpec(9, axes=("t",), max_length=5))
    vocabulary = Vocabulary([text, LABEL], aliases={"[CLS]": ("text", 7), "[SEP]": ("text", 8)})
    pair: Sample = {"text": [torch.tensor([[0], [1]]), torch.tensor([[2]])], "label": torch.tensor([3])}
    sequence = pack(
        TokenBatch.from_samples([pair, {"label": torch.tensor([0])}], vocabulary.modalities), vocabulary
    )
    start, label = vocabulary.slice("text", 0).start, vocabulary.slice("label", 0).start
    codes = [7, 0, 1, 8, 2, 8, label + 3 - start, 7, label - start]
    assert sequence.ids[:, 0].tolist() == [start + code for code in codes]
    assert sequence.segment.tolist() == [-1, 0, 0, -1, 1, -1, 2, -1, 3]
    assert sequence.cu_seqlens.tolist() == [0, 7, 9]
    assert not bool(sequence.has_codebook()[sequence.segment < 0].any())


def test_rows_may_change_places_within_a_sample() -> None:
    sequence = example_sequence()
    sequence = replace(sequence, inputs={"image": torch.arange(6.0)[:, None]})
    order = torch.arange(sequence.num_rows)
    order[1:7] = order[1:7].flip(0)
    turned = sequence.select_rows(order)
    assert turned.cu_seqlens.tolist() == sequence.cu_seqlens.tolist()
    assert turned.inputs["image"].flatten().tolist() == [5.0, 4.0, 3.0, 2.0, 1.0, 0.0]


def test_unpack_refuses_dropped_rows() -> None:
    sequence = example_sequence()
    with pytest.raises(ValueError, match="unpack whole sequences"):
        unpack(sequence.select_rows(torch.arange(3)))


def test_unpack_refuses_a_mask_that_was_never_filled() -> None:
    sequence = example_sequence()
    kind = torch.zeros_like(sequence.ids)
    kind[2, 0] = 1
    with pytest.raises(ValueError, match="'image'.*fill every masked token"):
        unpack(sequence.hide(kind))


def test_unpack_refuses_shuffled_segments() -> None:
    sequence = example_sequence()
    order = torch.arange(sequence.num_rows)
    order[1], order[7] = 7, 1
    with pytest.raises(ValueError, match="segment order"):
        unpack(sequence.select_rows(order))


def test_pack_refuses_unsorted_segments_and_unknown_modalities() -> None:
    batch = unpack(example_sequence())
    table = batch.segments
    backwards = SegmentTable(table.sample.flip(0), table.modality, table.start, table.shape)
    with pytest.raises(ValueError, match="sorted by sample"):
        pack(replace(batch, segments=backwards), VOCABULARY)
    with pytest.raises(ValueError, match="'image' is not in this model"):
        pack(batch, Vocabulary([AUDIO, LABEL]))


def test_concatenate_refuses_what_it_cannot_join() -> None:
    sequence = example_sequence()
    other = Vocabulary([IMAGE, AUDIO, LABEL])
    with pytest.raises(ValueError, match="at least one sequence"):
        concatenate([])
    with pytest.raises(ValueError, match="one vocabulary"):
        concatenate([sequence, pack(unpack(sequence), other)])
    with pytest.raises(ValueError, match="1 of 2 sequences have group"):
        concatenate([sequence, replace(sequence, group=torch.zeros_like(sequence.sample))])
    with pytest.raises(ValueError, match="continuous inputs for 'image'"):
        concatenate([sequence, replace(sequence, inputs={"image": torch.zeros(6, 2)})])


def test_concatenate_joins_inputs_with_a_half_that_lacks_the_modality() -> None:
    """Guidance: the unconditional half has no condition rows, so it needs no condition inputs."""
    sequence = replace(example_sequence(), inputs={"image": torch.rand(6, 2)})
    bare = pack(unpack(example_sequence()).keep_segments(torch.tensor([False, True, True, True])), VOCABULARY)
    assert torch.equal(concatenate([sequence, bare]).inputs["image"], sequence.inputs["image"])


def test_to_moves_every_field() -> None:
    moved = example_sequence().to("meta")
    tensors = [getattr(moved, f.name) for f in fields(moved) if isinstance(getattr(moved, f.name), Tensor)]
    tensors += [getattr(moved.segments, f.name) for f in fields(moved.segments)]
    assert {t.device.type for t in tensors} == {"meta"}
