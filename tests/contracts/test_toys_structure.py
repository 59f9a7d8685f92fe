"""Toys with structured attention: MAGNeT's levels, BAD's permutation, M2T's groups with a cache."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from maskmm.masking.base import MaskedSequence, Masking
from maskmm.sequence import TokenSequence, pack
from maskmm.vocabulary import Vocabulary
from tests.contracts.toy_model import (
    IMAGE,
    MOTION,
    Cache,
    Predicate,
    ToyModel,
    changed_rows,
    counters,
    part_losses,
    random_batch,
    random_ids,
    random_sequence,
)
from tokenizers_vq.contract import Key


class Magnet(Masking):
    """One level a step: coarser levels clean, this one masked in part, finer ones hidden and not asked."""

    def __call__(self, sequence: TokenSequence, key: Key) -> MaskedSequence:
        num_levels = sequence.vocabulary.num_codebooks
        level = key.fold("level").integers(num_levels)
        rate = torch.cos(torch.pi / 2 * key.fold("rate").uniform(sequence.sample_id))[sequence.sample, None]
        slot, has = torch.arange(num_levels), sequence.has_codebook()
        is_target = has & (slot == level) & (key.fold("score").uniform(*counters(sequence)) < rate)
        kind = (is_target | (has & (slot > level))).long()
        part, group = torch.zeros_like(kind), level.expand(sequence.num_rows)
        return MaskedSequence(sequence.hide(kind), kind, sequence.ids, is_target, part, group=group)


def magnet_attention(batch: MaskedSequence, window: int) -> Predicate:
    """Levels above 0 see frames at most `window` away (and [CLS]); level 0 sees all."""
    assert batch.group is not None
    group, time, is_frame = batch.group, batch.inputs.position[:, 0], batch.inputs.modality > 0

    def may_attend(q: Tensor, k: Tensor) -> Tensor:
        is_far = (time[q] - time[k]).abs() > window
        return (group[q] == 0) | ~(is_far & is_frame[q] & is_frame[k])

    return may_attend


def test_magnet_levels() -> None:
    sequence = random_sequence([MOTION], 6, 20)
    has, mask_id, levels = sequence.has_codebook(), sequence.vocabulary.mask_id(), set()
    for step in range(20):
        out = Magnet()(sequence, Key(0, step))
        assert out.group is not None
        level = int(out.group[0])
        levels.add(level)
        ids, slot = out.inputs.ids, torch.arange(3).expand_as(has)
        assert torch.equal(ids[slot < level], sequence.ids[slot < level])
        finer = has & (slot > level)
        assert bool((ids[finer] == mask_id).all()) and not bool(out.is_target[finer].any())
        assert not bool((out.is_target & (slot != level)).any())
        assert torch.equal(out.is_target, has & (slot == level) & (ids == mask_id))
        assert [(t.name, t.codebook) for t in out.with_target_rows().target_rows] == [("motion", level)]
    assert levels == {0, 1, 2}


def test_magnet_fine_levels_see_a_window() -> None:
    sequence = random_sequence([MOTION], 1, 20)
    step = next(s for s in range(99) if int(Key(0, s).fold("level").integers(3)) == 1)
    out = Magnet()(sequence, Key(0, step))
    model = ToyModel(sequence.vocabulary, depth=1)
    predicate = magnet_attention(out, window=5)
    ids = out.inputs.ids.clone()
    ids[10, 0] = (
        sequence.vocabulary.slice("motion", 0).start + (ids[10, 0] - 1) % 12
    )  # frame 9 (row 0 is [CLS])
    before = model.forward_features(out.inputs, predicate)
    is_changed = changed_rows(before, model.forward_features(replace(out.inputs, ids=ids), predicate))
    frames = (is_changed[1:]).nonzero().flatten()
    assert frames.min() >= 4 and frames.max() <= 14 and bool(is_changed[0])
    assert bool(changed_rows(before, model.forward_features(out.inputs)).any())


def rank_in_sample(sample: Tensor, is_included: Tensor, score: Tensor) -> Tensor:
    """(N,) 1-based rank of the included rows of each sample by score; 0 elsewhere."""
    rank = torch.zeros_like(sample)
    for b in sample.unique():
        rows = ((sample == b) & is_included).nonzero().flatten()
        rank[rows[score[rows].argsort()]] = torch.arange(1, len(rows) + 1)
    return rank


class Bad(Masking):
    """A permutation of the masked rows, told by the kind of mask; visible rows are partly random; all are asked."""

    def __call__(self, sequence: TokenSequence, key: Key) -> MaskedSequence:
        row = counters(sequence)[:2]
        is_masked = (sequence.modality > 0) & (key.fold("mask").uniform(*row) < 0.5).flatten()
        order = rank_in_sample(sequence.sample, is_masked, key.fold("order").uniform(*row).flatten())
        kind = torch.where(sequence.has_codebook(), order[:, None], 0)
        is_noise = (kind == 0) & (key.fold("noise").uniform(*row) < 0.2) & sequence.has_codebook()
        noisy = torch.where(is_noise, random_ids(sequence, key), sequence.ids)
        inputs = replace(sequence, ids=noisy).hide(kind)
        part = torch.zeros_like(kind)
        return MaskedSequence(inputs, kind, sequence.ids, sequence.has_codebook(), part, order=order)


def by_order(batch: MaskedSequence) -> Predicate:
    """Visible rows have order 0 and see each other; masks see all visible rows and masks of no later rank."""
    order = batch.order
    assert order is not None
    return lambda q, k: order[k] <= order[q]


def test_bad_mask_kinds_say_the_permutation() -> None:
    sequence = random_sequence([IMAGE], 5, 0, num_mask_kinds=16)
    out = Bad()(sequence, Key(0))
    assert out.order is not None
    for b in range(5):
        order = out.order[sequence.sample == b]
        masked = order[order > 0]
        assert sorted(masked.tolist()) == list(range(1, len(masked) + 1))
    is_masked = out.order > 0
    kinds = out.inputs.ids[is_masked, 0] - sequence.vocabulary.mask_id() + 1  # readable in the input itself
    assert torch.equal(kinds, out.order[is_masked])
    assert bool((out.inputs.ids[~is_masked] != sequence.ids[~is_masked]).any())
    assert torch.equal(out.is_target, sequence.has_codebook())


def test_bad_hybrid_attention() -> None:
    sequence = random_sequence([IMAGE], 2, 0, num_mask_kinds=16)
    out = Bad()(sequence, Key(0))
    assert out.order is not None
    model = ToyModel(sequence.vocabulary)
    before = model.forward_features(out.inputs, by_order(out))
    for rank in (1, 3, int(out.order.max())):
        with torch.no_grad():
            model.table[sequence.vocabulary.mask_id(rank)] += 1
        after = model.forward_features(out.inputs, by_order(out))
        with torch.no_grad():
            model.table[sequence.vocabulary.mask_id(rank)] -= 1
        has_rank = torch.tensor([bool((out.order[sequence.sample == b] == rank).any()) for b in range(2)])
        assert torch.equal(changed_rows(before, after), (out.order >= rank) & has_rank[sequence.sample])
    visible = out.inputs.select_rows(out.order == 0)
    torch.testing.assert_close(model.forward_features(visible), before[out.order == 0])


GROUP_SIZES = (1, 2, 5, 8)
CELL_ORDER = torch.randperm(16, generator=torch.Generator().manual_seed(7))  # stands for QLDS: fixed, shared


class M2T(Masking):
    """Rows in a fixed order; the input of group g is group g - 1, filled up with masks; targets stay in place."""

    def __call__(self, sequence: TokenSequence, key: Key) -> MaskedSequence:
        start = sequence.cu_seqlens[:-1, None]
        permuted = sequence.select_rows((start + CELL_ORDER).flatten())
        source = (start + self.source()).flatten()
        is_mask = (self.source() < 0).repeat(sequence.num_samples)[:, None]
        shifted = replace(permuted, ids=permuted.ids[source]).hide(is_mask.long())
        group = torch.arange(len(GROUP_SIZES)).repeat_interleave(torch.tensor(GROUP_SIZES))
        every = torch.ones_like(is_mask)
        return MaskedSequence(
            inputs=shifted,
            mask_kind=is_mask.long(),
            targets=permuted.ids,
            is_target=every,
            part=torch.zeros_like(permuted.ids),
            group=group.repeat(sequence.num_samples),
        )

    @staticmethod
    def source() -> Tensor:
        """(cells,) which earlier cell each input comes from, in the fixed order; negative = a mask."""
        cells, end, previous = [], 0, 0
        for size in GROUP_SIZES:
            earlier = list(range(end - previous, end))
            cells += earlier + [-1] * (size - len(earlier))
            end, previous = end + size, size
        return torch.tensor(cells)


def by_group(batch: MaskedSequence) -> Predicate:
    """Block-triangular: a group sees itself and earlier groups."""
    group = batch.group
    assert group is not None
    return lambda q, k: group[k] <= group[q]


def m2t_example(seed: int = 0) -> MaskedSequence:
    sequence = pack(random_batch([IMAGE], 3, 0, seed), Vocabulary([IMAGE]), has_cls=False)
    return M2T()(sequence, Key(0))


def test_m2t_inputs_are_shifted_against_targets() -> None:
    out = m2t_example()
    mask = out.inputs.vocabulary.mask_id()
    assert M2T.source().tolist() == [-1, 0, -1, 1, 2, -1, -1, -1, 3, 4, 5, 6, 7, -1, -1, -1]
    inputs, targets = out.inputs.ids[16:32, 0], out.targets[16:32, 0]
    assert inputs[0] == mask
    assert inputs[1:3].tolist() == [int(targets[0]), mask]
    assert inputs[3:8].tolist() == [*targets[1:3].tolist(), mask, mask, mask]
    assert inputs[8:].tolist() == [*targets[3:8].tolist(), mask, mask, mask]
    y, x = CELL_ORDER // 4, CELL_ORDER % 4
    assert torch.equal(out.inputs.position[16:32], torch.stack([y, x], dim=1))  # of the cell that is asked
    model = ToyModel(out.inputs.vocabulary)
    parts = part_losses(model, model.forward_features(out.inputs, by_group(out)), out).parts
    assert int(parts["image/0/masked"][1]) == 48  # every step in one pass


def test_m2t_sees_only_earlier_groups() -> None:
    out = m2t_example()
    assert out.group is not None
    model = ToyModel(out.inputs.vocabulary)
    before = model.forward_features(out.inputs, by_group(out))
    for group in range(1, 4):
        ids = torch.where((out.group == group)[:, None], 0, out.inputs.ids)  # what group - 1 decoded to
        after = model.forward_features(replace(out.inputs, ids=ids), by_group(out))
        assert torch.equal(changed_rows(before, after), out.group >= group)


def test_m2t_incremental_equals_full() -> None:
    out = m2t_example()
    assert out.group is not None
    model = ToyModel(out.inputs.vocabulary, depth=3)
    full = model.forward_features(out.inputs, by_group(out))
    cache = Cache(model.depth, model.width)
    for group in range(len(GROUP_SIZES)):
        rows = (out.group == group).nonzero().flatten()
        step = out.inputs.select_rows(rows)
        assert step.cu_seqlens.tolist() == [GROUP_SIZES[group] * b for b in range(4)]
        features = model.advance(model.embed(step), rows, out.inputs, None, cache)
        torch.testing.assert_close(features, full[rows])


def test_m2t_decodes_one_group_after_the_other() -> None:
    """Free running: what a step decodes is the next step's input, and the teacher-forced pass agrees with it."""
    out = m2t_example()
    assert out.group is not None
    model = ToyModel(out.inputs.vocabulary)
    cache = Cache(model.depth, model.width)
    decoded = torch.zeros_like(out.targets)
    source = M2T.source().repeat(3) + torch.arange(3).repeat_interleave(16) * 16
    for group in range(len(GROUP_SIZES)):
        rows = (out.group == group).nonzero().flatten()
        fed = torch.where(out.mask_kind > 0, out.inputs.ids, decoded[source])[rows]
        step = replace(out.inputs.select_rows(rows), ids=fed)
        features = model.advance(model.embed(step), rows, out.inputs, None, cache)
        start = model.vocabulary.slice("image", 0).start
        decoded[rows, 0] = model.logits(features, "image", 0).argmax(dim=1) + start
    forced = replace(out.inputs, ids=torch.where(out.mask_kind > 0, out.inputs.ids, decoded[source]))
    logits = model.logits(model.forward_features(forced, by_group(out)), "image", 0)
    assert torch.equal(logits.argmax(dim=1) + model.vocabulary.slice("image", 0).start, decoded[:, 0])
