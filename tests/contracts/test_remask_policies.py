"""Every remask policy: a slot's fate is its own sample's matter, and decoding with it keeps its promises."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from maskmm.decoding import ConfidenceRemask, IterativeDecoder, RandomRemask, RemaskPolicy
from maskmm.decoding.guesses import Guesses
from maskmm.decoding.slots import Slots
from maskmm.sequence import TokenSequence
from tests.contracts.discovery import subclasses
from tests.contracts.random_batches import QUICK
from tests.maskmm.decoding.stubs import HashModel, partly_unknown
from tokenizers_vq.contract import Key

EXAMPLES: dict[type, list[RemaskPolicy]] = {
    ConfidenceRemask: [ConfidenceRemask()],
    RandomRemask: [RandomRemask(0.2), RandomRemask(1.0)],
}
ALL = pytest.mark.parametrize("policy", [e for es in EXAMPLES.values() for e in es], ids=repr)


def test_every_policy_has_an_example() -> None:
    assert subclasses(RemaskPolicy) == set(EXAMPLES)


@ALL
@QUICK
@given(partly_unknown(), st.integers(1, 9))
def test_a_sample_is_remasked_alike_in_any_batch(
    policy: RemaskPolicy, case: tuple[TokenSequence, Tensor], step: int
) -> None:
    sequence, is_unknown = case
    slots, key = Slots.of(sequence, is_unknown), Key(step)
    everything = Guesses(slots, slots.row, -key.gumbel(slots.row, slots.codebook).exp().float())
    is_filled = key.fold("filled").uniform(slots.row, slots.codebook) < 0.5
    num_left = slots.select(~is_filled).count(sequence.num_samples)

    def chosen(is_mine: Tensor) -> Tensor:
        filled, masked = everything.select(is_filled & is_mine), everything.select(~is_filled & is_mine)
        found = policy.reopened(filled, masked, num_left, step, key)
        assert found.dtype == torch.bool and found.shape == filled.slots.row.shape
        return filled.slots.row[found]

    together = chosen(torch.ones_like(is_filled))
    is_odd = slots.sample % 2 == 1
    assert together[sequence.sample[together] % 2 == 1].tolist() == chosen(is_odd).tolist()


@ALL
@QUICK
@given(partly_unknown(), st.integers(1, 6))
def test_decoding_with_it_fills_all_and_leaves_the_known_alone(
    policy: RemaskPolicy, case: tuple[TokenSequence, Tensor], num_steps: int
) -> None:
    sequence, is_unknown = case
    model = HashModel(sequence.vocabulary)
    done = IterativeDecoder(num_steps, remask=policy).decode(model, sequence, is_unknown, 0)
    assert torch.equal(done.ids[~is_unknown], sequence.ids[~is_unknown])
    assert not bool((done.ids[is_unknown] == sequence.vocabulary.mask_id()).any())
    most = (
        int(Slots.of(sequence, is_unknown).count(sequence.num_samples).max()) if sequence.num_samples else 0
    )
    assert model.num_forwards == min(num_steps, most)
