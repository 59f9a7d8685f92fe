"""Guidance: on features, in one forward, over the same target rows in both passes."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from maskmm.decoding import Guidance, IterativeDecoder, RampedGuidance
from maskmm.sequence import TokenSequence, pack
from tests.maskmm.decoding.stubs import VOCABULARY, HashModel, StubModel, full_batch, unknown_of
from tokenizers_vq.contract import TokenBatch

BATCH = full_batch(3)
SEQUENCE = pack(BATCH, VOCABULARY)
IS_TARGET = unknown_of(SEQUENCE, "image")
IS_CONDITION_ROW = (SEQUENCE.segment >= 0) & ~IS_TARGET.any(dim=1)
ROWS = IS_TARGET.any(dim=1).nonzero().flatten()


class LinearHead(HashModel):
    """Hashed features of 16 channels, and a dense affine head."""

    def features(self, sequence: TokenSequence) -> Tensor:
        return super().features(sequence)[:, 0, :16]

    def logits(self, features: Tensor, name: str, codebook: int) -> Tensor:
        generator = torch.Generator().manual_seed(codebook)
        weight = torch.randn(VOCABULARY.spec(name).codebook_size, 16, generator=generator)
        return features @ weight.T + weight[:, 0]


@pytest.mark.parametrize("scale", [-1.0, 0.0, 0.5, 3.0, 7.5])
def test_on_features_equals_on_logits(scale: float) -> None:
    model, progress = LinearHead(), torch.ones(len(ROWS))
    guided = Guidance(scale).features(model, SEQUENCE, ROWS, IS_CONDITION_ROW, progress)
    unconditional = SEQUENCE.select_rows(~IS_CONDITION_ROW)
    is_image = unconditional.modality == VOCABULARY.index("image")
    c = model.logits(model.forward_features(SEQUENCE)[ROWS], "image", 0).double()
    u = model.logits(model.forward_features(unconditional)[is_image], "image", 0).double()
    expected = u + scale * (c - u)
    found = model.logits(guided, "image", 0).double()
    assert float((found - expected).abs().max() / expected.abs().max()) < 1e-5


class Recorder(StubModel):
    """Keeps what each forward was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.shown: list[TokenSequence] = []

    def features(self, sequence: TokenSequence) -> Tensor:
        self.shown.append(sequence)
        return torch.zeros(sequence.num_rows, VOCABULARY.num_codebooks, VOCABULARY.size)


def test_both_passes_run_in_one_forward_and_see_the_same_target_rows() -> None:
    """A peer drew other positions for its unconditional pass, and mixed logits of different tokens."""
    model = Recorder()
    IterativeDecoder(4, guidance=Guidance(2.0)).decode(model, SEQUENCE, IS_TARGET, 0)
    assert model.num_forwards == 4
    image = VOCABULARY.index("image")
    for shown in model.shown:
        assert shown.num_samples == 6
        first, second = (shown.sample < 3), (shown.sample >= 3)
        targets = [(shown.modality == image) & half for half in (first, second)]
        assert torch.equal(shown.ids[targets[0]], shown.ids[targets[1]])
        assert torch.equal(shown.position[targets[0]], shown.position[targets[1]])
        assert bool((shown.modality[second & (shown.segment >= 0)] == image).all())


def decoded(guidance: Guidance, batch: TokenBatch = BATCH, **kwargs: Tensor) -> Tensor:
    sequence = pack(batch, VOCABULARY)
    decoder = IterativeDecoder(5, guidance=guidance)
    return decoder.decode(HashModel(), sequence, unknown_of(sequence, "image"), 0, **kwargs).ids


def test_scale_one_is_no_guidance_and_no_second_pass() -> None:
    assert torch.equal(decoded(Guidance(1.0)), decoded(Guidance()))
    model = Recorder()
    IterativeDecoder(2, guidance=Guidance(1.0)).decode(model, SEQUENCE, IS_TARGET, 0)
    assert [shown.num_samples for shown in model.shown] == [3, 3]
    assert not torch.equal(decoded(Guidance(1.0)), decoded(Guidance(4.0)))


def test_scale_zero_equals_decoding_without_the_condition_rows() -> None:
    """Image codes are the same; segments are numbered alike, so random numbers are too."""
    unconditional = SEQUENCE.select_rows(~IS_CONDITION_ROW)
    is_unknown = unknown_of(unconditional, "image")
    alone = IterativeDecoder(5).decode(HashModel(), unconditional, is_unknown, 0)
    assert torch.equal(decoded(Guidance(0.0))[IS_TARGET], alone.ids[is_unknown])


def test_negative_scale_runs_and_leads_elsewhere() -> None:
    assert not torch.equal(decoded(Guidance(-2.0)), decoded(Guidance(2.0)))


def test_without_any_condition_guidance_changes_nothing() -> None:
    only_images = BATCH.keep_segments(BATCH.segments.modality == BATCH.names.index("image"))
    assert torch.equal(decoded(Guidance(5.0), only_images), decoded(Guidance(), only_images))


def test_chosen_conditions_leave_the_rest_in_both_passes() -> None:
    is_text = SEQUENCE.segments.modality == VOCABULARY.index("text") - 1
    model = Recorder()
    IterativeDecoder(1, guidance=Guidance(2.0)).decode(model, SEQUENCE, IS_TARGET, 0, is_text)
    (shown,) = model.shown
    seen = set(shown.modality[shown.sample >= 3].tolist())
    assert seen == {0, VOCABULARY.index("image"), VOCABULARY.index("audio")}


def test_ramp_grows_from_one_to_the_scale() -> None:
    progress = torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64)
    scale = RampedGuidance(5.0).scale_at(progress)
    assert isinstance(scale, Tensor) and scale.tolist() == [1.0, 3.0, 5.0]
    assert not torch.equal(decoded(RampedGuidance(5.0)), decoded(Guidance(5.0)))


@pytest.mark.parametrize("bad", [math.inf, math.nan])
def test_bad_scale(bad: float) -> None:
    with pytest.raises(ValueError, match=f"scale={bad}, expected a finite number"):
        Guidance(bad)
