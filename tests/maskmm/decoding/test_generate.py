"""Targets one after the other: conditions stay, any sample may lack anything, in- and outpainting."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from maskmm.decoding import (
    GivenLength,
    Guidance,
    IterativeDecoder,
    SameLengthAs,
    SampledLength,
    Temperature,
    generate_tokens,
)
from maskmm.sequence import TokenSequence, pack
from tests.contracts.random_batches import QUICK, batches
from tests.maskmm.decoding.stubs import (
    MODALITIES,
    VOCABULARY,
    HashModel,
    OracleModel,
    full_batch,
)
from tokenizers_vq.contract import Modality, TokenBatch, TokenSpec

DECODER = IterativeDecoder(4, guidance=Guidance(2.0))
Samples = list[dict[str, list[Tensor]]]


def samples_of(batch: TokenBatch) -> Samples:
    return batch.samples(MODALITIES)


def without(batch: TokenBatch, *names: str) -> TokenBatch:
    indices = torch.tensor([batch.names.index(name) for name in names])
    return batch.keep_segments(~torch.isin(batch.segments.modality, indices))


def assert_same_samples(left: Samples, right: Samples) -> None:
    assert [s.keys() for s in left] == [s.keys() for s in right]
    for a, b in zip(left, right):
        for name in a:
            assert [t.tolist() for t in a[name]] == [t.tolist() for t in b[name]]


@settings(QUICK, max_examples=25)
@given(batches(tuple(MODALITIES[:4]), with_extras=False), st.permutations(["image", "audio", "text"]))
def test_every_sample_gets_every_target_and_keeps_its_own(batch: TokenBatch, targets: list[str]) -> None:
    out = generate_tokens(HashModel(), batch, targets, DECODER, seed=3)
    assert torch.equal(out.sample_id, batch.sample_id)
    specs = {m.name: m.spec for m in MODALITIES}
    for before, after in zip(samples_of(batch), samples_of(out)):
        assert list(after) == list(dict.fromkeys([*before, *targets]))
        for name, segments in after.items():
            kept = before.get(name, [])
            assert [t.tolist() for t in segments[: len(kept)]] == [t.tolist() for t in kept]
            assert len(segments) == len(kept) + (name in targets)
            for codes in segments:
                specs[name].check_codes(codes, name)


def test_no_conditions_at_all() -> None:
    """A peer left its sequence unbound when nothing was given."""
    empty = TokenBatch.from_samples([{}, {}], MODALITIES)
    out = samples_of(generate_tokens(HashModel(), empty, ["image"], DECODER))
    assert [s["image"][0].shape for s in out] == [(3, 4, 1)] * 2
    assert out[0]["image"][0].tolist() != out[1]["image"][0].tolist()


def test_no_samples_and_no_targets() -> None:
    nothing = generate_tokens(HashModel(), TokenBatch.from_samples([], MODALITIES[:1]), ["audio"], DECODER)
    assert nothing.num_samples == 0 and nothing.codes["audio"].shape == (0, 2)
    batch = full_batch(2)
    assert_same_samples(samples_of(generate_tokens(HashModel(), batch, [], DECODER)), samples_of(batch))


def test_a_batch_that_never_heard_of_the_target() -> None:
    samples = [{"label": torch.tensor([2])}, {"label": torch.tensor([1])}]
    batch = TokenBatch.from_samples(samples, [Modality("label", TokenSpec(4))])
    out = generate_tokens(HashModel(), batch, ["image", "audio"], DECODER, GivenLength([2, 5]))
    assert out.names == ("label", "image", "audio")
    assert [s["audio"][0].shape for s in samples_of(out)] == [(2, 2), (5, 2)]


def test_forwards_are_the_steps_and_one_for_a_sampled_length() -> None:
    batch = without(full_batch(3), "image", "audio")
    model = HashModel()
    generate_tokens(model, batch, ["image"], DECODER)
    assert model.num_forwards == 4
    model = HashModel()
    out = generate_tokens(model, batch, ["audio"], DECODER, SampledLength())
    slots = [2 * len(s["audio"][0]) for s in samples_of(out)]
    assert [model.forwards_of(100 + b) for b in range(3)] == [1 + min(4, n) for n in slots]
    model = HashModel()
    generate_tokens(model, batch, ["audio"], DECODER, {"audio": GivenLength(1)})
    assert model.num_forwards == 2


def test_a_chain_conditions_each_target_on_the_ones_before() -> None:
    batch = without(full_batch(3), "image", "audio")
    lengths = {"audio": SameLengthAs("text")}
    chained = generate_tokens(HashModel(), batch, ["image", "audio"], DECODER, lengths, seed=5)
    first = generate_tokens(HashModel(), batch, ["image"], DECODER, seed=5)
    second = generate_tokens(HashModel(), first, ["audio"], DECODER, lengths, seed=5)
    assert_same_samples(samples_of(chained), samples_of(second))


@pytest.mark.parametrize("targets", [["image"], ["audio", "image"], ["text", "audio"]])
def test_an_oracle_restores_what_was_taken_away(targets: list[str]) -> None:
    answer = full_batch(4)
    order = [n for n in ("text", "image", "audio") if n not in targets] + targets
    samples = [{name: s[name] for name in order} for s in samples_of(answer)]
    answer = TokenBatch.from_samples(samples, MODALITIES, answer.sample_id)
    lengths = {n: GivenLength([len(s[n][0]) for s in samples]) for n in ("text", "audio")}
    model = OracleModel(pack(answer, VOCABULARY))
    out = generate_tokens(model, without(answer, *targets), targets, IterativeDecoder(3), lengths)
    assert_same_samples(samples_of(out), samples)


def test_inpainting_keeps_the_known_half() -> None:
    batch = full_batch(3)
    is_unknown = torch.zeros(36, 1, dtype=torch.bool)
    is_unknown[6:12] = True  # lower half of the first image
    is_unknown[13] = True  # one token of the second; the third is whole, so it gets a second image
    model = HashModel()
    out = generate_tokens(model, batch, ["image"], IterativeDecoder(4), is_unknown={"image": is_unknown})
    images = [s["image"] for s in samples_of(out)]
    assert [len(i) for i in images] == [1, 1, 2]
    old = batch.codes["image"]
    flat = torch.cat([i[0].reshape(-1, 1) for i in images])
    assert torch.equal(flat[~is_unknown], old[~is_unknown]) and not torch.equal(flat, old)
    assert [model.forwards_of(100 + b) for b in range(3)] == [4, 1, 4]


def test_inpainting_does_not_see_what_the_unknown_slots_held() -> None:
    batch = full_batch(2)
    is_unknown = {"image": torch.ones(24, 1, dtype=torch.bool), "audio": torch.ones(3, 2, dtype=torch.bool)}
    codes = {**batch.codes, "image": torch.zeros_like(batch.codes["image"])}
    runs = [
        generate_tokens(HashModel(), b, ["audio", "image"], DECODER, is_unknown=is_unknown)
        for b in (batch, replace(batch, codes=codes))
    ]
    assert_same_samples(samples_of(runs[0]), samples_of(runs[1]))


@pytest.mark.parametrize("order", [[3], [3, 1], [7, 3, 0, 5, 1, 2, 6, 4]])
def test_same_seed_same_codes_in_any_batch(order: list[int]) -> None:
    batch = without(full_batch(8), "image", "audio")
    targets = ["audio", "image"]
    together = samples_of(generate_tokens(HashModel(), batch, targets, DECODER, seed=2))
    samples = samples_of(batch)
    part = TokenBatch.from_samples([samples[i] for i in order], MODALITIES, batch.sample_id[order])
    out = samples_of(generate_tokens(HashModel(), part, targets, DECODER, seed=2))
    assert_same_samples(out, [together[i] for i in order])


def test_other_seed_other_codes_and_temperature_zero_for_each_target() -> None:
    batch = without(full_batch(4), "image", "audio")
    runs = [generate_tokens(HashModel(), batch, ["image"], DECODER, seed=s).codes["image"] for s in (0, 1)]
    assert not torch.equal(*runs)
    decoders = {"image": IterativeDecoder(1, filters=(Temperature(0.0),))}
    runs = [generate_tokens(HashModel(), batch, ["image"], decoders, seed=s).codes["image"] for s in (0, 1)]
    assert torch.equal(*runs)


def test_guidance_leaves_out_everything_but_the_target() -> None:
    class Watching(HashModel):
        def features(self, sequence: TokenSequence) -> Tensor:
            half = sequence.sample >= sequence.num_samples // 2
            names = {VOCABULARY.names[m - 1] for m in sequence.modality[half].tolist() if m}
            seen.append(names)
            return super().features(sequence)

    seen: list[set[str]] = []
    batch = without(full_batch(2), "image", "audio")
    decoder = IterativeDecoder(1, guidance=Guidance(2.0))
    generate_tokens(Watching(), batch, ["image", "audio"], decoder, GivenLength(2))
    assert seen == [{"image"}, {"audio"}]


def test_errors_say_what_is_wrong() -> None:
    batch = full_batch(2)
    with pytest.raises(ValueError, match="'video' is not in this model, expected one of"):
        generate_tokens(HashModel(), batch, ["video"], DECODER)
    with pytest.raises(ValueError, match="name a modality twice"):
        generate_tokens(HashModel(), batch, ["image", "image"], DECODER)
    with pytest.raises(ValueError, match="'image' has no decoder"):
        generate_tokens(HashModel(), batch, ["image"], {})
    flags = torch.zeros(24, 1, dtype=torch.bool)
    with pytest.raises(ValueError, match=r"unknown slots of \['image'\], which are no targets"):
        generate_tokens(HashModel(), batch, ["audio"], DECODER, is_unknown={"image": flags})
    with pytest.raises(ValueError, match=r"is_unknown\['image'\] is torch.bool of shape \(23, 1\), expected"):
        generate_tokens(HashModel(), batch, ["image"], DECODER, is_unknown={"image": flags[1:]})
    with pytest.raises(ValueError, match="is_unknown names 'image', expected one of"):
        unheard = TokenBatch.from_samples([{}], MODALITIES[1:2])
        generate_tokens(HashModel(), unheard, ["image"], DECODER, is_unknown={"image": flags})
    with pytest.raises(ValueError, match="length=9: the varying axis takes 1 to 6"):
        generate_tokens(HashModel(), batch, ["audio"], DECODER, GivenLength(9))
    with pytest.raises(
        ValueError, match="has inputs for 'image'; expected a new segment to have codes alone"
    ):
        patches = replace(batch, inputs={"image": torch.zeros(24, 3)})
        generate_tokens(HashModel(), patches, ["image"], DECODER)
