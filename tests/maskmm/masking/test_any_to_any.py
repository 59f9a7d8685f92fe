"""One masking trains every direction: what it hides, what it asks, and that only the sample and the key decide."""

from __future__ import annotations

from itertools import combinations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from maskmm.masking.any_to_any import AnyToAnyMasking
from maskmm.masking.base import MaskedSequence
from maskmm.masking.transforms import DropModalities
from maskmm.schedules import ArccosSchedule, CosineSchedule, LinearSchedule, MaskSchedule
from maskmm.sequence import TokenSequence, pack, take_samples
from tests.contracts.random_batches import QUICK, batches, vocabularies
from tests.maskmm.decoding.stubs import IMAGE, MODALITIES, VOCABULARY, full_batch
from tests.reference.naive_masking import any_to_any
from tokenizers_vq.contract import Key, TokenBatch

SCHEDULES = [CosineSchedule(), LinearSchedule(), ArccosSchedule()]
KEY = Key(3, step=5).fold("mask")


@st.composite
def packed(draw: st.DrawFn) -> TokenSequence:
    vocabulary = draw(vocabularies())
    return pack(draw(batches(vocabulary.modalities)), vocabulary, has_cls=draw(st.booleans()))


@QUICK
@given(packed(), st.sampled_from(SCHEDULES), st.sampled_from([0.0, 0.5, 1.0]), st.sampled_from([0.0, 0.4]))
def test_equals_the_naive_loop(
    sequence: TokenSequence, schedule: MaskSchedule, single_target: float, noise: float
) -> None:
    own = {sequence.vocabulary.names[0]: LinearSchedule()}
    masked = AnyToAnyMasking(schedule, own, single_target, noise)(sequence, KEY)
    schedules = dict.fromkeys(sequence.vocabulary.names, schedule) | own
    is_masked, is_target = any_to_any(sequence, KEY, schedules, single_target, noise)
    assert torch.equal(masked.mask_kind > 0, is_masked)
    assert torch.equal(masked.is_target, is_target)
    assert torch.equal(masked.inputs.ids, sequence.hide(is_masked.long()).ids)
    assert torch.equal(masked.targets, sequence.ids)


def images(count: int) -> TokenSequence:
    codes = torch.zeros(3, 4, 1, dtype=torch.int64)
    return pack(TokenBatch.from_samples([{"image": codes}] * count, MODALITIES), VOCABULARY)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
def test_ratios_follow_the_schedule(schedule: MaskSchedule) -> None:
    masked = AnyToAnyMasking(schedule)(images(4000), KEY)
    counts = masked.is_target.sum(1).view(4000, -1).sum(1)
    draws = torch.rand(200_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = torch.bincount((schedule(draws) * 12).round().long().clamp(min=1), minlength=13)[1:]
    found = torch.bincount(counts, minlength=13)
    assert found[0] == 0
    share = expected.double() / expected.sum()
    assert stats.chisquare(found[1:].numpy(), (share * 4000).numpy()).pvalue > 1e-3


def directions(masked: MaskedSequence) -> list[tuple[frozenset[str], frozenset[str]]]:
    """(targets, conditions) of each sample."""
    sequence, found = masked.inputs, []
    asked = masked.is_target.any(1)
    for sample in range(sequence.num_samples):
        mine = (sequence.sample == sample) & (sequence.segment >= 0)
        present = set(sequence.modality[mine].tolist())
        targets = set(sequence.modality[mine & asked].tolist())
        names = [frozenset(VOCABULARY.names[m - 1] for m in group) for group in (targets, present - targets)]
        found.append((names[0], names[1]))
    return found


def test_every_direction_and_unconditional_generation_occur() -> None:
    batch = DropModalities([0.2, 0.5, 0.3])(full_batch(1500), KEY.fold("drop"))
    found = set(directions(AnyToAnyMasking()(pack(batch, VOCABULARY), KEY)))
    names = ("audio", "image", "text")
    subsets = [frozenset(c) for size in range(4) for c in combinations(names, size)]
    expected = {(t, c) for t in subsets for c in subsets if t and not t & c}
    assert found == expected


def test_single_targets_have_their_share() -> None:
    sequence = pack(full_batch(2000), VOCABULARY)
    sizes = [len(targets) for targets, _ in directions(AnyToAnyMasking(single_target=0.7)(sequence, KEY))]
    shares = [sizes.count(size) / 2000 for size in (1, 2, 3)]
    assert shares == pytest.approx([0.7, 0.15, 0.15], abs=0.035)
    for share, expected in ((1.0, {1}), (0.0, {2, 3})):
        found = {len(t) for t, _ in directions(AnyToAnyMasking(single_target=share)(sequence, KEY))}
        assert found == expected


@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_conditions_are_never_asked(noise: float) -> None:
    sequence = pack(full_batch(400), VOCABULARY)
    masked = AnyToAnyMasking(condition_noise=noise)(sequence, KEY)
    assert bool((masked.is_target <= (masked.mask_kind > 0)).all())
    num_segments = len(sequence.segments)
    is_token = sequence.segment >= 0
    slots = sequence.has_codebook().sum(1)[is_token]
    of = sequence.segment[is_token]
    total = torch.zeros(num_segments).index_add_(0, of, slots.float())
    hidden = torch.zeros(num_segments).index_add_(0, of, (masked.mask_kind > 0).sum(1)[is_token].float())
    asked = torch.zeros(num_segments).index_add_(0, of, masked.is_target.sum(1)[is_token].float())
    is_condition = asked == 0
    assert torch.equal(hidden[~is_condition], asked[~is_condition])
    assert bool((hidden[is_condition] <= (noise * total[is_condition]).round()).all())
    assert bool((hidden[is_condition] > 0).any()) == (noise > 0)


def test_length_labels_are_asked_alone() -> None:
    label = torch.tensor([2])
    samples = [{"image": torch.zeros(3, 4, 1, dtype=torch.int64), "text.length": label}] * 50
    masked = AnyToAnyMasking()(pack(TokenBatch.from_samples(samples, MODALITIES), VOCABULARY), KEY)
    assert set(directions(masked)) == {(frozenset({"text.length"}), frozenset({"image"}))}


def per_sample(masked: MaskedSequence) -> dict[int, list[list[bool]]]:
    sequence = masked.inputs
    columns = torch.cat([masked.mask_kind > 0, masked.is_target], dim=1)
    return {
        int(sequence.sample_id[b]): columns[sequence.sample == b].tolist()
        for b in range(sequence.num_samples)
    }


def test_a_sample_is_masked_alike_in_any_batch() -> None:
    masking, sequence = AnyToAnyMasking(condition_noise=0.3), pack(full_batch(9), VOCABULARY)
    together = per_sample(masking(sequence, KEY))
    shuffled = take_samples(sequence, torch.tensor([4, 1, 8, 0]))
    alone = take_samples(sequence, torch.tensor([7]))
    for part in (shuffled, alone):
        for sample_id, rows in per_sample(masking(part, KEY)).items():
            assert rows == together[sample_id]
    assert per_sample(masking(sequence, KEY)) == together
    assert per_sample(masking(sequence, KEY.at(6))) != together


def test_two_segments_of_a_target_are_both_hidden() -> None:
    two = [torch.zeros(3, 4, 1, dtype=torch.int64)] * 2
    sequence = pack(TokenBatch.from_samples([{"image": two}], MODALITIES), VOCABULARY)
    for step in range(20):
        masked = AnyToAnyMasking(schedules={IMAGE.name: ArccosSchedule()})(sequence, KEY.at(step))
        counts = torch.bincount(sequence.segment[masked.is_target[:, 0]], minlength=2)
        assert counts[0] == counts[1] >= 1


def test_nothing_to_mask() -> None:
    batch = full_batch(2).keep_segments(torch.zeros(6, dtype=torch.bool))
    masked = AnyToAnyMasking()(pack(batch, VOCABULARY), KEY).with_target_rows()
    assert not masked.target_rows and masked.inputs.num_rows == 2


@pytest.mark.parametrize("bad", [{"single_target": 1.5}, {"single_target": -0.1}, {"condition_noise": 1.0}])
def test_bad_shares(bad: dict[str, float]) -> None:
    ((name, value),) = bad.items()
    with pytest.raises(ValueError, match=f"{name}={value}"):
        AnyToAnyMasking(**bad)
