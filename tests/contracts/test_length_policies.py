"""Every length policy: a legal length for each sample that wants one, decided by that sample and the key alone."""

from __future__ import annotations

import pytest
import torch

from maskmm.decoding import GivenLength, Guidance, LengthPolicy, SameLengthAs, SampledLength
from maskmm.decoding.draft import Draft
from tests.contracts.discovery import subclasses
from tests.maskmm.decoding.stubs import AUDIO, HashModel, full_batch
from tokenizers_vq.contract import Key

EXAMPLES: dict[type, list[LengthPolicy]] = {
    GivenLength: [GivenLength(4)],
    SameLengthAs: [SameLengthAs("text")],
    SampledLength: [SampledLength(), SampledLength(0.0), SampledLength(0.7, Guidance(2.0))],
}
ALL = pytest.mark.parametrize("policy", [e for es in EXAMPLES.values() for e in es], ids=repr)


def test_every_policy_has_an_example() -> None:
    assert subclasses(LengthPolicy) == set(EXAMPLES)


def draft(num_samples: int) -> Draft:
    """Samples with a text and an image."""
    batch = full_batch(num_samples)
    return Draft(batch.keep_segments(batch.segments.modality != batch.names.index("audio")))


def ask(policy: LengthPolicy, num_samples: int, is_wanted: list[bool], seed: int = 0) -> torch.Tensor:
    return policy(HashModel(), draft(num_samples), AUDIO, torch.tensor(is_wanted), Key(seed))


@ALL
def test_lengths_are_legal_where_wanted(policy: LengthPolicy) -> None:
    is_wanted = [True, False, True, True, False]
    lengths = ask(policy, 5, is_wanted)
    assert lengths.shape == (5,) and lengths.dtype == torch.int64
    wanted = lengths[torch.tensor(is_wanted)]
    assert bool(((wanted >= 1) & (wanted <= 6)).all())


@ALL
def test_a_sample_is_as_long_in_any_batch(policy: LengthPolicy) -> None:
    together = ask(policy, 5, [True] * 5)
    assert ask(policy, 2, [True] * 2).tolist() == together[:2].tolist()
    assert ask(policy, 5, [True, False, False, True, False])[[0, 3]].tolist() == together[[0, 3]].tolist()
    assert ask(policy, 5, [True] * 5).tolist() == together.tolist()


@ALL
def test_the_draft_stays_as_it_is(policy: LengthPolicy) -> None:
    before, given = draft(3), draft(3)
    policy(HashModel(), given, AUDIO, torch.ones(3, dtype=torch.bool), Key(0))
    assert given.batch.names == before.batch.names and given.is_unknown == before.is_unknown
    assert all(torch.equal(given.batch.codes[name], codes) for name, codes in before.batch.codes.items())
