"""Every unmask order: a slot is ranked by its own sample and the key; decoding with it follows the schedule."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from maskmm.decoding import CoarseFirst, ConfidenceOrder, IterativeDecoder, RandomOrder, UnmaskOrder
from maskmm.decoding.slots import Slots
from maskmm.schedules import num_masked
from maskmm.sequence import TokenSequence
from tests.contracts.discovery import subclasses
from tests.contracts.random_batches import QUICK
from tests.maskmm.decoding.stubs import HashModel, partly_unknown
from tokenizers_vq.contract import Key

EXAMPLES: dict[type, list[UnmaskOrder]] = {
    ConfidenceOrder: [ConfidenceOrder(), ConfidenceOrder(0.0)],
    RandomOrder: [RandomOrder()],
    CoarseFirst: [CoarseFirst(), CoarseFirst(RandomOrder())],
}
ALL = pytest.mark.parametrize("order", [e for es in EXAMPLES.values() for e in es], ids=repr)


def test_every_order_has_an_example() -> None:
    assert subclasses(UnmaskOrder) == set(EXAMPLES)


@ALL
@QUICK
@given(partly_unknown(), st.integers(1, 9), st.integers(0, 99))
def test_a_slot_is_ranked_by_its_own_sample_and_the_key(
    order: UnmaskOrder, case: tuple[TokenSequence, Tensor], step: int, seed: int
) -> None:
    sequence, is_unknown = case
    slots = Slots.of(sequence, is_unknown)
    log_prob = -Key(seed).fold("log_prob").gumbel(slots.row, slots.codebook).exp().float()
    progress = torch.full((len(slots),), step / 9, dtype=torch.float64)
    score = order.scores(slots, log_prob, progress, step, Key(seed))
    priority = order.priority(slots)
    assert score.shape == priority.shape == slots.row.shape
    assert score.is_floating_point() and priority.dtype == torch.int64
    assert bool(score.isfinite().all())
    assert torch.equal(order.scores(slots, log_prob, progress, step, Key(seed)), score)
    is_mine = slots.sample % 2 == 1
    alone = order.scores(slots.select(is_mine), log_prob[is_mine], progress[is_mine], step, Key(seed))
    assert torch.equal(alone, score[is_mine])
    assert torch.equal(order.priority(slots.select(is_mine)), priority[is_mine])


@ALL
@QUICK
@given(partly_unknown(), st.integers(1, 6))
def test_decoding_with_it_follows_the_schedule_and_leaves_the_known_alone(
    order: UnmaskOrder, case: tuple[TokenSequence, Tensor], num_steps: int
) -> None:
    sequence, is_unknown = case
    left: list[list[int]] = []

    def count(step: int, now: TokenSequence) -> None:
        is_open = (now.ids == now.vocabulary.mask_id()) & is_unknown
        left.append(torch.bincount(now.sample, is_open.sum(1), now.num_samples).long().tolist())

    decoder = IterativeDecoder(num_steps, order=order)
    done = decoder.decode(HashModel(sequence.vocabulary), sequence, is_unknown, 0, callback=count)
    assert torch.equal(done.ids[~is_unknown], sequence.ids[~is_unknown])
    start = torch.bincount(sequence.sample, is_unknown.sum(1), sequence.num_samples).long()
    expected = num_masked(decoder.schedule, num_steps, start)
    assert left == expected[:, 1 : 1 + len(left)].T.tolist()
    assert not bool((done.ids[is_unknown] == sequence.vocabulary.mask_id()).any())
