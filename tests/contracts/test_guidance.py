"""Every guidance: one forward, a point on the line through both predictions, nothing where there is no condition."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from maskmm.decoding import Guidance, IterativeDecoder, RampedGuidance
from maskmm.sequence import TokenSequence, pack
from tests.contracts.discovery import subclasses
from tests.maskmm.decoding.stubs import VOCABULARY, HashModel, full_batch, unknown_of

EXAMPLES: dict[type, list[Guidance]] = {
    Guidance: [Guidance(), Guidance(0.0), Guidance(3.0), Guidance(-1.5)],
    RampedGuidance: [RampedGuidance(), RampedGuidance(0.5), RampedGuidance(4.0)],
}
ALL = pytest.mark.parametrize("guidance", [e for es in EXAMPLES.values() for e in es], ids=repr)
SEQUENCE = pack(full_batch(4), VOCABULARY)
IS_TARGET = unknown_of(SEQUENCE, "image")
IS_CONDITION = (SEQUENCE.segment >= 0) & ~IS_TARGET.any(dim=1)
ROWS = IS_TARGET.any(dim=1).nonzero().flatten()
PROGRESS = torch.linspace(0.1, 1.0, len(ROWS), dtype=torch.float64)


def test_every_guidance_has_an_example() -> None:
    assert subclasses(Guidance) == set(EXAMPLES)


def target_features(sequence: TokenSequence) -> Tensor:
    is_image = sequence.modality == VOCABULARY.index("image")
    return HashModel().forward_features(sequence)[is_image]


@ALL
def test_it_lies_between_both_predictions_as_its_scale_says(guidance: Guidance) -> None:
    model = HashModel()
    guided = guidance.features(model, SEQUENCE, ROWS, IS_CONDITION, PROGRESS)
    assert model.num_forwards == 1
    c, u = target_features(SEQUENCE), target_features(SEQUENCE.select_rows(~IS_CONDITION))
    scale = guidance.scale_at(PROGRESS)
    column = scale[:, None].float() if isinstance(scale, Tensor) else scale
    torch.testing.assert_close(guided, u + column * (c - u))
    if isinstance(scale, Tensor):
        assert scale.shape == PROGRESS.shape and bool(scale.isfinite().all())


@ALL
def test_without_a_condition_it_changes_nothing(guidance: Guidance) -> None:
    model = HashModel()
    plain = guidance.features(model, SEQUENCE, ROWS, None, PROGRESS)
    assert torch.equal(plain, target_features(SEQUENCE))
    assert model.samples_seen == [[100, 101, 102, 103]]


@ALL
def test_a_sample_is_decoded_alike_in_any_batch(guidance: Guidance) -> None:
    def decoded(num_samples: int) -> Tensor:
        sequence = pack(full_batch(num_samples), VOCABULARY)
        decoder = IterativeDecoder(4, guidance=guidance)
        done = decoder.decode(HashModel(), sequence, unknown_of(sequence, "image", "audio"), 5)
        return done.ids[done.sample == 0]

    assert torch.equal(decoded(1), decoded(4))
