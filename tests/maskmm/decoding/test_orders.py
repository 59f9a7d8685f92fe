"""Which slots come first."""

from __future__ import annotations

import math

import pytest
import torch

from maskmm.decoding import CoarseFirst, ConfidenceOrder, RandomOrder
from maskmm.decoding.slots import Slots, rank_in_sample
from maskmm.sequence import pack
from tests.maskmm.decoding.stubs import VOCABULARY, full_batch, unknown_of
from tokenizers_vq.contract import Key


def some_slots(num_samples: int = 4) -> Slots:
    sequence = pack(full_batch(num_samples), VOCABULARY)
    return Slots.of(sequence, unknown_of(sequence, "image", "audio"))


def test_noise_follows_the_current_ratio_and_never_compounds() -> None:
    """Peers multiplied the temperature inside the loop: at step 8 of 18 they had 0.40 left instead of 2.5."""
    order = ConfidenceOrder(4.5)
    noise = [float(order.noise_at(torch.tensor(t / 18, dtype=torch.float64))) for t in range(1, 19)]
    assert noise[7] == pytest.approx(2.5)
    assert noise == pytest.approx([4.5 * (1 - t / 18) for t in range(1, 19)])
    slots = some_slots()
    log_prob = torch.zeros(len(slots))
    for t in (1, 8, 18):
        progress = torch.full((len(slots),), t / 18, dtype=torch.float64)
        scores = order.scores(slots, log_prob, progress, t, Key(0))
        assert torch.allclose(scores, 4.5 * (1 - t / 18) * Key(0).gumbel(*slots.counters(t)))


def test_without_noise_the_score_is_the_log_probability() -> None:
    slots = some_slots()
    log_prob = torch.randn(len(slots))
    scores = ConfidenceOrder(0.0).scores(slots, log_prob, torch.rand(len(slots)).double(), 1, Key(0))
    assert torch.equal(scores, log_prob.double())


def test_random_order_ignores_confidence_and_changes_with_the_key() -> None:
    slots, progress = some_slots(), torch.zeros(1)
    first = RandomOrder().scores(slots, torch.zeros(len(slots)), progress, 1, Key(0))
    assert torch.equal(first, RandomOrder().scores(slots, torch.rand(len(slots)), progress, 1, Key(0)))
    assert not torch.equal(first, RandomOrder().scores(slots, torch.zeros(len(slots)), progress, 1, Key(1)))


@pytest.mark.parametrize("order", [RandomOrder(), CoarseFirst(RandomOrder())], ids=["plain", "coarse first"])
def test_ranks_equal_a_sort_in_each_sample(order: RandomOrder | CoarseFirst) -> None:
    slots = some_slots()
    scores = order.scores(slots, torch.zeros(len(slots)), torch.zeros(1), 1, Key(5))
    ranks = rank_in_sample(slots, scores, order.priority(slots))
    for sample in range(4):
        mine = (slots.sample == sample).nonzero().flatten().tolist()
        in_order = sorted(mine, key=lambda i: (int(order.priority(slots)[i]), -float(scores[i])))
        assert [int(ranks[i]) for i in in_order] == list(range(len(mine)))


def test_ties_fall_to_slot_order() -> None:
    slots = some_slots(2)
    ranks = rank_in_sample(slots, torch.zeros(len(slots)), torch.zeros_like(slots.row))
    for sample in range(2):
        assert ranks[slots.sample == sample].tolist() == list(range(int((slots.sample == sample).sum())))


@pytest.mark.parametrize("bad", [-1.0, math.inf, math.nan])
def test_bad_noise_temperature(bad: float) -> None:
    with pytest.raises(ValueError, match=f"noise_temperature={bad}, expected 0"):
        ConfidenceOrder(bad)
