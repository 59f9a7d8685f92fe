"""What holds for every decoder: known slots stay, nothing is left masked, legal codes, exact forward counts."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from maskmm.decoding import (
    CoarseFirst,
    ConfidenceOrder,
    ConfidenceRemask,
    Guidance,
    IterativeDecoder,
    RandomOrder,
    RandomRemask,
    Temperature,
    TopK,
    TopP,
)
from maskmm.schedules import ArccosSchedule, CosineSchedule, LinearSchedule, num_masked
from maskmm.sequence import TokenSequence, pack
from tests.contracts.random_batches import QUICK
from tests.maskmm.decoding.stubs import (
    VOCABULARY,
    HashModel,
    OracleModel,
    full_batch,
    partly_unknown,
    unknown_of,
)
from tests.reference.naive_decoding import decode_one
from tokenizers_vq.contract import Key, TokenBatch

DECODERS = st.builds(
    IterativeDecoder,
    num_steps=st.integers(1, 7),
    schedule=st.sampled_from([CosineSchedule(), LinearSchedule(), ArccosSchedule()]),
    order=st.sampled_from([ConfidenceOrder(), ConfidenceOrder(0.0), RandomOrder(), CoarseFirst()]),
    filters=st.sampled_from([(), (Temperature(0.7), TopK(3)), (TopP(0.9),), (Temperature(0.0),)]),
    guidance=st.sampled_from([Guidance(), Guidance(3.0)]),
    remask=st.sampled_from([None, ConfidenceRemask(), RandomRemask(0.5)]),
)
REMASKS = {None: None, "confidence": ConfidenceRemask(), 0.3: RandomRemask(0.3), 1.0: RandomRemask(1.0)}
"""By the name that the naive twin knows."""


@QUICK
@given(partly_unknown(), DECODERS)
def test_invariants(case: tuple[TokenSequence, Tensor], decoder: IterativeDecoder) -> None:
    sequence, is_unknown = case
    model = HashModel(sequence.vocabulary)
    done = decoder.decode(model, sequence, is_unknown, seed=1)
    assert torch.equal(done.ids[~is_unknown], sequence.ids[~is_unknown])
    start = sequence.vocabulary.offsets()[sequence.modality][is_unknown]
    size = sequence.vocabulary.codebook_sizes()[sequence.modality][is_unknown]
    codes = done.ids[is_unknown] - start
    assert bool(((codes >= 0) & (codes < size)).all())
    per_sample = torch.bincount(sequence.sample, is_unknown.sum(1), sequence.num_samples).long()
    expected = per_sample.clamp(max=decoder.num_steps).tolist()
    for index, forwards in enumerate(expected):
        of_same_id = [
            expected[i] for i in range(len(expected)) if sequence.sample_id[i] == sequence.sample_id[index]
        ]
        assert model.forwards_of(int(sequence.sample_id[index])) == max(of_same_id) >= forwards
    assert model.num_forwards == max(expected, default=0)
    for name in ("modality", "position", "segment", "sample", "cu_seqlens"):
        assert torch.equal(getattr(done, name), getattr(sequence, name))


@QUICK
@given(
    partly_unknown(),
    st.integers(1, 6),
    st.booleans(),
    st.sampled_from([1.0, 2.5]),
    st.sampled_from([0.0, 0.8, 1.0]),
    st.sampled_from(list(REMASKS)),
)
def test_equals_the_naive_twin(
    case: tuple[TokenSequence, Tensor],
    num_steps: int,
    is_coarse_first: bool,
    scale: float,
    temperature: float,
    remask: str | float | None,
) -> None:
    sequence, is_unknown = case
    model, schedule, key = HashModel(sequence.vocabulary), CosineSchedule(), Key(9)
    order = CoarseFirst(ConfidenceOrder(2.0)) if is_coarse_first else ConfidenceOrder(2.0)
    filters, guidance = (Temperature(temperature),), Guidance(scale)
    decoder = IterativeDecoder(num_steps, schedule, order, filters, guidance, REMASKS[remask])
    done = decoder.decode(model, sequence, is_unknown, key)
    for sample in range(sequence.num_samples):
        mine = sequence.sample == sample
        one = single(sequence, sample)
        naive = decode_one(
            model,
            one,
            is_unknown[mine],
            key,
            num_steps,
            schedule,
            2.0,
            temperature,
            scale,
            is_coarse_first,
            remask,
        )
        assert torch.equal(done.ids[mine], naive.ids)


def single(sequence: TokenSequence, sample: int) -> TokenSequence:
    """One sample of a packed batch as a batch of its own."""
    rows = sequence.select_rows(sequence.sample == sample)
    mine = sequence.segments.sample == sample
    first = int((sequence.segments.sample < sample).sum())
    table = sequence.segments
    return replace(
        rows,
        segment=torch.where(rows.segment >= 0, rows.segment - first, -1),
        sample=torch.zeros_like(rows.sample),
        cu_seqlens=torch.tensor([0, rows.num_rows]),
        sample_id=sequence.sample_id[sample : sample + 1],
        segments=type(table)(
            table.sample[mine] * 0, table.modality[mine], table.start[mine], table.shape[mine]
        ),
    )


def test_samples_leave_the_batch_when_they_are_done() -> None:
    sequence = pack(full_batch(4), VOCABULARY)
    is_unknown = unknown_of(sequence, "audio")  # 2, 4, 6 and 8 slots
    model = HashModel()
    IterativeDecoder(5).decode(model, sequence, is_unknown, 0)
    assert [len(seen) for seen in model.samples_seen] == [4, 4, 3, 3, 2]
    assert [model.forwards_of(100 + b) for b in range(4)] == [2, 4, 5, 5]


def test_logits_are_asked_for_masked_slots_alone() -> None:
    sequence = pack(full_batch(3), VOCABULARY)
    is_unknown = unknown_of(sequence, "image")
    model = HashModel()
    decoder = IterativeDecoder(6)
    decoder.decode(model, sequence, is_unknown, 0)
    counts = num_masked(decoder.schedule, 6, torch.tensor([12, 12, 12]))
    assert model.num_logit_rows == int(counts.sum())


def test_counts_follow_each_samples_own_start() -> None:
    """Rows of one batch with 1 to 12 unknown image codes: a peer's indexing was right for batch size 1 alone."""
    sequence = pack(full_batch(12), VOCABULARY)
    is_image = unknown_of(sequence, "image")
    is_unknown = is_image & (sequence.row_in_segment() <= sequence.sample)[:, None]
    left: list[list[int]] = []

    def count(step: int, now: TokenSequence) -> None:
        is_masked = (now.ids == VOCABULARY.mask_id()).sum(1)
        left.append(torch.bincount(now.sample, is_masked, 12).long().tolist())

    decoder = IterativeDecoder(5)
    done = decoder.decode(HashModel(), sequence, is_unknown, 0, callback=count)
    expected = num_masked(decoder.schedule, 5, torch.arange(1, 13))
    assert torch.equal(torch.tensor(left).T, expected[:, 1:])
    for b in range(12):
        mine = sequence.sample == b
        alone = decoder.decode(HashModel(), single(sequence, b), is_unknown[mine], 0)
        assert torch.equal(alone.ids, done.ids[mine])


def reordered(batch: TokenBatch, order: list[int]) -> TokenBatch:
    samples = batch.samples(VOCABULARY.modalities)
    return TokenBatch.from_samples([samples[i] for i in order], VOCABULARY.modalities, batch.sample_id[order])


@pytest.mark.parametrize("guidance", [Guidance(), Guidance(2.0)], ids=repr)
def test_same_seed_same_codes_in_any_batch(guidance: Guidance) -> None:
    batch, decoder = full_batch(8), IterativeDecoder(5, guidance=guidance)

    def codes(order: list[int], seed: int = 0) -> list[list[int]]:
        sequence = pack(reordered(batch, order), VOCABULARY)
        done = decoder.decode(HashModel(), sequence, unknown_of(sequence, "image", "audio"), seed)
        return [done.ids[done.sample == i].flatten().tolist() for i in range(len(order))]

    together = codes(list(range(8)))
    assert [codes([i])[0] for i in range(8)] == together
    shuffled = [5, 2, 7, 0, 1, 6, 3, 4]
    assert codes(shuffled) == [together[i] for i in shuffled]
    assert codes(list(range(8))) == together
    other = codes(list(range(8)), seed=1)
    assert all(a != b for a, b in zip(together, other))


def test_samples_with_the_same_content_differ_by_their_id() -> None:
    samples = [{"image": torch.zeros(3, 4, 1, dtype=torch.int64)}] * 2
    sequence = pack(TokenBatch.from_samples(samples, VOCABULARY.modalities), VOCABULARY)
    ids = IterativeDecoder(3).decode(HashModel(), sequence, unknown_of(sequence, "image"), 0).ids
    assert not torch.equal(ids[:13], ids[13:])


@settings(QUICK, max_examples=25)
@given(DECODERS, st.sampled_from([("image",), ("audio", "text"), ("image", "audio", "text")]))
def test_an_oracle_is_decoded_to_its_answer(decoder: IterativeDecoder, targets: tuple[str, ...]) -> None:
    answer = pack(full_batch(3), VOCABULARY)
    is_unknown = unknown_of(answer, *targets)
    question = replace(answer, ids=torch.where(is_unknown, 0, answer.ids))
    done = decoder.decode(OracleModel(answer), question, is_unknown, 0)
    assert torch.equal(done.ids, answer.ids)


def test_temperature_zero_without_noise_is_the_same_for_all_seeds() -> None:
    sequence = pack(full_batch(3), VOCABULARY)
    is_unknown = unknown_of(sequence, "image", "audio")
    decoder = IterativeDecoder(4, order=ConfidenceOrder(0.0), filters=(Temperature(0.0),))
    runs = [decoder.decode(HashModel(), sequence, is_unknown, seed).ids for seed in range(3)]
    assert torch.equal(runs[0], runs[1]) and torch.equal(runs[0], runs[2])


def test_coarse_codebooks_are_wholly_known_before_finer_ones_start() -> None:
    sequence = pack(full_batch(6), VOCABULARY)
    is_unknown = unknown_of(sequence, "audio")

    def check(step: int, now: TokenSequence) -> None:
        is_masked = now.ids == VOCABULARY.mask_id()
        has_coarse = torch.bincount(now.sample, is_masked[:, 0], 6) > 0
        fine_known = torch.bincount(now.sample, is_unknown[:, 1] & ~is_masked[:, 1], 6) > 0
        assert not bool((has_coarse & fine_known).any())

    IterativeDecoder(6, order=CoarseFirst()).decode(HashModel(), sequence, is_unknown, 0, callback=check)


def test_revealed_slots_never_change() -> None:
    sequence = pack(full_batch(2), VOCABULARY)
    seen = [sequence.hide(unknown_of(sequence, "image").long()).ids]

    def check(step: int, now: TokenSequence) -> None:
        is_known = seen[-1] != VOCABULARY.mask_id()
        assert torch.equal(now.ids[is_known], seen[-1][is_known])
        seen.append(now.ids)

    IterativeDecoder(5).decode(HashModel(), sequence, unknown_of(sequence, "image"), 0, callback=check)
    assert len(seen) == 6


def test_nothing_unknown_costs_nothing() -> None:
    sequence, model = pack(full_batch(2), VOCABULARY), HashModel()
    done = IterativeDecoder().decode(model, sequence, torch.zeros_like(sequence.ids, dtype=torch.bool), 0)
    assert done is sequence and model.num_forwards == 0


def test_what_unknown_slots_held_does_not_matter() -> None:
    sequence = pack(full_batch(2), VOCABULARY)
    is_unknown = unknown_of(sequence, "image")
    other = replace(sequence, ids=torch.where(is_unknown, VOCABULARY.slice("image", 0).start, sequence.ids))
    decoder = IterativeDecoder(3)
    runs = [decoder.decode(HashModel(), s, is_unknown, 0).ids for s in (sequence, other)]
    assert torch.equal(*runs)


class Broken(HashModel):
    """NaN weights."""

    def features(self, sequence: TokenSequence) -> Tensor:
        return super().features(sequence) * torch.nan


class Training(HashModel):
    """Dropout is on."""

    training = True


def test_errors_say_what_is_wrong() -> None:
    sequence = pack(full_batch(2), VOCABULARY)
    is_unknown = unknown_of(sequence, "image")
    decoder = IterativeDecoder(2, guidance=Guidance(2.0))
    with pytest.raises(ValueError, match="num_steps=0, expected at least 1"):
        IterativeDecoder(0)
    with pytest.raises(ValueError, match=r"is_unknown is torch.int64 .* expected bool of shape"):
        decoder.decode(HashModel(), sequence, is_unknown.long(), 0)
    with pytest.raises(ValueError, match="no modality owns"):
        decoder.decode(HashModel(), sequence, torch.ones_like(is_unknown), 0)
    with pytest.raises(ValueError, match="one entry for each of the 6 segments"):
        decoder.decode(HashModel(), sequence, is_unknown, 0, torch.ones(2, dtype=torch.bool))
    with pytest.raises(ValueError, match="condition segment holds unknown slots"):
        decoder.decode(HashModel(), sequence, is_unknown, 0, torch.ones(6, dtype=torch.bool))
    with pytest.raises(ValueError, match="hold NaN"):
        decoder.decode(Broken(), sequence, is_unknown, 0)
    with pytest.raises(ValueError, match=r"training mode; call model.eval\(\)"):
        decoder.decode(Training(), sequence, is_unknown, 0)
