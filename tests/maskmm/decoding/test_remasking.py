"""Remasking: what was said early can be taken back, in the numbers that the policy and the schedule say."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from maskmm.decoding import (
    CoarseFirst,
    ConfidenceOrder,
    ConfidenceRemask,
    IterativeDecoder,
    RandomRemask,
    RemaskPolicy,
)
from maskmm.decoding.guesses import Guesses
from maskmm.decoding.slots import Slots
from maskmm.schedules import LinearSchedule
from maskmm.sequence import TokenSequence, pack
from tests.maskmm.decoding.stubs import VOCABULARY, HashModel, full_batch, unknown_of
from tokenizers_vq.contract import Key

SEQUENCE = pack(full_batch(4), VOCABULARY)
IS_UNKNOWN = unknown_of(SEQUENCE, "image", "audio")
POLICIES = pytest.mark.parametrize("remask", [ConfidenceRemask(), RandomRemask(0.4)], ids=repr)


def steps_of(decoder: IterativeDecoder, is_unknown: Tensor = IS_UNKNOWN) -> list[Tensor]:
    """Ids after each step."""
    seen: list[Tensor] = []
    decoder.decode(HashModel(), SEQUENCE, is_unknown, 0, callback=lambda step, now: seen.append(now.ids))
    return seen


@POLICIES
def test_some_revealed_slots_are_masked_again_and_some_change(remask: RemaskPolicy) -> None:
    steps = steps_of(IterativeDecoder(6, remask=remask))
    mask_id = VOCABULARY.mask_id()
    again = [(a != mask_id) & (b == mask_id) for a, b in zip(steps, steps[1:])]
    assert any(bool(one.any()) for one in again)
    assert not bool(again[-1].any())  # the last step only reveals
    assert any(bool((steps[-1] != before)[one].any()) for before, one in zip(steps, again))
    assert all(torch.equal(ids[~IS_UNKNOWN], SEQUENCE.ids[~IS_UNKNOWN]) for ids in steps)


@POLICIES
def test_counts_still_follow_the_schedule(remask: RemaskPolicy) -> None:
    def counts(steps: list[Tensor]) -> list[list[int]]:
        is_open = [(ids == VOCABULARY.mask_id()).sum(1) for ids in steps]
        return [torch.bincount(SEQUENCE.sample, one, 4).tolist() for one in is_open]

    assert counts(steps_of(IterativeDecoder(6, remask=remask))) == counts(steps_of(IterativeDecoder(6)))


@POLICIES
def test_coarse_codebooks_stay_known_while_finer_ones_are_found(remask: RemaskPolicy) -> None:
    is_unknown = unknown_of(SEQUENCE, "audio")
    for ids in steps_of(IterativeDecoder(6, order=CoarseFirst(), remask=remask), is_unknown):
        is_masked = (ids == VOCABULARY.mask_id()) & is_unknown
        has_coarse = torch.bincount(SEQUENCE.sample, is_masked[:, 0], 4) > 0
        fine_known = torch.bincount(SEQUENCE.sample, is_unknown[:, 1] & ~is_masked[:, 1], 4) > 0
        assert not bool((has_coarse & fine_known).any())


def guesses(log_prob: list[float], first_row: int = 0) -> Guesses:
    """Slots of one sample."""
    row = torch.arange(first_row, first_row + len(log_prob))
    zero = torch.zeros_like(row)
    return Guesses(Slots(row, zero, zero + 1, zero, zero, zero, row), zero, torch.tensor(log_prob))


def test_the_least_sure_of_all_are_masked() -> None:
    filled, masked = guesses([-1.0, -5.0, -3.0]), guesses([-4.0, -0.5, -6.0], first_row=3)
    for num_left, expected in [(0, []), (1, []), (2, [1]), (3, [1]), (4, [1, 2]), (6, [0, 1, 2])]:
        chosen = ConfidenceRemask().reopened(filled, masked, torch.tensor([num_left]), 2, Key(0))
        assert chosen.nonzero().flatten().tolist() == expected


def test_a_share_is_drawn_anew_at_each_step() -> None:
    filled, masked, left = guesses([-1.0] * 10), guesses([-1.0]), torch.tensor([9])
    drawn = [RandomRemask(0.35).reopened(filled, masked, left, step, Key(3)) for step in range(40)]
    assert {int(one.sum()) for one in drawn} == {3}
    share = torch.stack(drawn).double().mean(dim=0)
    assert bool(((share > 0.1) & (share < 0.5)).all())
    assert torch.equal(drawn[5], RandomRemask(0.35).reopened(filled, masked, left, 5, Key(3)))


def test_more_than_may_stay_masked_leaves_the_least_sure() -> None:
    """All filled slots are drawn, but the schedule masks fewer: those sampled with the least confidence."""
    sequence = pack(full_batch(1), VOCABULARY)
    is_unknown = unknown_of(sequence, "image")
    probability: dict[tuple[int, int], float] = {}

    class Recorder(ConfidenceOrder):
        def scores(self, slots: Slots, log_prob: Tensor, progress: Tensor, step: int, key: Key) -> Tensor:
            places = zip(slots.row.tolist(), slots.codebook.tolist())
            probability.update(zip(places, log_prob.tolist()))
            return super().scores(slots, log_prob, progress, step, key)

    seen: list[tuple[set[tuple[int, int]], dict[tuple[int, int], float]]] = []

    def keep(step: int, now: TokenSequence) -> None:
        is_open = now.ids == VOCABULARY.mask_id()
        seen.append(({(r, q) for r, q in is_open.nonzero().tolist()}, dict(probability)))

    IterativeDecoder(6, LinearSchedule(), Recorder(0.0), remask=RandomRemask(1.0)).decode(
        HashModel(), sequence, is_unknown, 0, callback=keep
    )
    # After four of six steps 4 of 12 are masked: of the 6 filled before, the 4 least sure; what was masked is revealed.
    before, after = seen[2][0], seen[3]
    filled_before = {(r, q) for r, q in is_unknown.nonzero().tolist()} - before
    assert len(filled_before) == 6
    assert after[0] == set(sorted(filled_before, key=lambda slot: after[1][slot])[:4])


@pytest.mark.parametrize("bad", [0.0, -0.1, 1.1, float("nan")])
def test_bad_share(bad: float) -> None:
    with pytest.raises(ValueError, match=f"share={bad}, expected above 0 and up to 1"):
        RandomRemask(bad)
