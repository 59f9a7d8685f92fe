"""MaskedSequence: its questions by (modality, codebook), with and without a fixed capacity."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from maskmm.masking.base import MaskedSequence, masked_at
from maskmm.sequence import pack
from maskmm.vocabulary import Vocabulary
from tests.contracts.random_batches import QUICK, batches, vocabularies
from tests.contracts.toy_model import IMAGE, MOTION, counters, random_sequence
from tokenizers_vq.contract import Key


def masked(vocabulary: Vocabulary, data: st.DataObject) -> MaskedSequence:
    sequence = pack(data.draw(batches(vocabulary.modalities)), vocabulary)
    score = Key(data.draw(st.integers(0, 99))).uniform(*counters(sequence))
    return masked_at(sequence, sequence.has_codebook() & (score < data.draw(st.floats(0, 1))))


@QUICK
@given(st.data(), vocabularies())
def test_target_rows_are_the_naive_list(data: st.DataObject, vocabulary: Vocabulary) -> None:
    out = masked(vocabulary, data)
    expected: dict[tuple[str, int], list[tuple[int, int]]] = {}
    for row, slot in out.is_target.nonzero().tolist():
        name = vocabulary.names[int(out.inputs.modality[row]) - 1]
        code = int(out.targets[row, slot]) - vocabulary.slice(name, slot).start
        expected.setdefault((name, slot), []).append((row, code))
    found = {
        (t.name, t.codebook): list(zip(t.rows.tolist(), t.codes.tolist()))
        for t in out.with_target_rows().target_rows
    }
    assert found == expected
    assert all(bool(t.is_real.all()) for t in out.with_target_rows().target_rows)


@QUICK
@given(st.data(), vocabularies(), st.integers(1, 5))
def test_capacity_fills_up_and_changes_no_question(
    data: st.DataObject, vocabulary: Vocabulary, capacity: int
) -> None:
    out = masked(vocabulary, data)
    plain = {(t.name, t.codebook): t for t in out.with_target_rows().target_rows}
    filled = out.with_target_rows(capacity).target_rows
    # Every (modality, codebook) has its list, also where nothing is asked: shapes stay few.
    assert [(t.name, t.codebook) for t in filled] == [
        (m.name, q) for m in vocabulary.modalities for q in range(m.spec.num_codebooks)
    ]
    for t in filled:
        assert t.rows.shape[0] > 0 and t.rows.shape[0] % capacity == 0
        asked = plain.get((t.name, t.codebook))
        assert t.rows[t.is_real].tolist() == ([] if asked is None else asked.rows.tolist())
        assert t.codes[t.is_real].tolist() == ([] if asked is None else asked.codes.tolist())
        assert bool((t.codes < vocabulary.spec(t.name).codebook_size).all())


def test_targets_that_were_hidden_too_are_refused() -> None:
    sequence = random_sequence([IMAGE, MOTION], 2, 4)
    out = masked_at(sequence, sequence.has_codebook())
    with pytest.raises(ValueError, match="codebook 0 of 'image' where targets hold no such code"):
        replace(out, targets=out.inputs.ids).with_target_rows()


def test_asking_for_what_is_visible() -> None:
    sequence = random_sequence([MOTION], 2, 4)
    nothing = torch.zeros_like(sequence.has_codebook())
    out = masked_at(sequence, nothing, is_target=sequence.has_codebook())
    assert torch.equal(out.inputs.ids, sequence.ids)
    assert [t.rows.shape[0] for t in out.with_target_rows().target_rows] == [8, 8, 8]


def test_to_moves_every_tensor() -> None:
    sequence = random_sequence([IMAGE], 2, 0)
    out = masked_at(sequence, sequence.has_codebook()).with_target_rows()
    moved = replace(out, order=sequence.sample, group=sequence.sample).to("meta")
    for tensor in (moved.mask_kind, moved.targets, moved.is_target, moved.part, moved.order, moved.group):
        assert tensor is not None and tensor.device.type == "meta"
    assert moved.inputs.ids.device.type == "meta" and moved.target_rows[0].rows.device.type == "meta"
    assert moved.part_names == out.part_names
