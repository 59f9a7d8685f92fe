"""Toys with more than one network: BEATs / MAE-LM (masked rows left out), MoMask's second model."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from maskmm.masking.base import MaskedSequence, Masking
from maskmm.objectives.base import MaskedModel, Objective, ObjectiveOutput
from maskmm.sequence import TokenSequence, unpack
from tests.contracts.toy_model import (
    IMAGE,
    MOTION,
    TEXT,
    ToyModel,
    changed_rows,
    counters,
    part_losses,
    random_sequence,
)
from tokenizers_vq.contract import Key, Modality


class LeftOut(Masking):
    """Masked rows stay out of the encoder."""

    def __init__(self, rate: float) -> None:
        self.rate = rate

    def __call__(self, sequence: TokenSequence, key: Key) -> MaskedSequence:
        is_target = sequence.has_codebook() & (key.uniform(*counters(sequence)[:2]) < self.rate)
        kind, is_encoded = is_target.long(), ~is_target.any(dim=1)
        part = torch.zeros_like(kind)
        return MaskedSequence(sequence.hide(kind), kind, sequence.ids, is_target, part, is_encoded=is_encoded)


class PutBack(Objective):
    """Encoder on the visible rows; a decoder sees them and the embedded masks in the rows left out."""

    def __init__(self, decoder: ToyModel) -> None:
        super().__init__()
        self.decoder = decoder

    def features(self, model: ToyModel, batch: MaskedSequence) -> Tensor:
        assert batch.is_encoded is not None
        encoded = model.forward_features(batch.inputs.select_rows(batch.is_encoded))
        x = self.decoder.embed(batch.inputs)
        x[batch.is_encoded] = encoded
        return self.decoder.forward_from(x, batch.inputs)

    def forward(self, model: MaskedModel, batch: MaskedSequence, key: Key) -> ObjectiveOutput:
        assert isinstance(model, ToyModel)
        return part_losses(self.decoder, self.features(model, batch), batch)


@pytest.mark.parametrize("modality, rate", [(IMAGE, 0.75), (TEXT, 0.15)])  # BEATs, MAE-LM
def test_the_encoder_never_sees_a_mask_and_the_decoder_answers_for_it(
    modality: Modality, rate: float
) -> None:
    sequence = random_sequence([modality], 4, 20)
    out = LeftOut(rate)(sequence, Key(0))
    assert out.is_encoded is not None
    seen = out.inputs.select_rows(out.is_encoded)
    assert not bool((seen.ids == sequence.vocabulary.mask_id()).any())
    kept = [int((out.is_encoded & (sequence.sample == b)).sum()) for b in range(4)]
    assert seen.cu_seqlens.diff().tolist() == kept
    assert torch.equal(seen.position, sequence.position[out.is_encoded])

    model = ToyModel(sequence.vocabulary, seed=1)
    objective = PutBack(ToyModel(sequence.vocabulary, depth=1, seed=2))
    total, count = objective(model, out, Key(0)).parts[f"{modality.name}/0/masked"]
    assert count == out.is_target.sum() == (~out.is_encoded).sum()
    total.backward()
    mask_id = sequence.vocabulary.mask_id()
    assert model.table.grad is not None and objective.decoder.table.grad is not None
    assert not bool(model.table.grad[mask_id].any()) and bool(objective.decoder.table.grad[mask_id].any())


def test_a_sample_whose_rows_are_all_left_out_stays() -> None:
    sequence = random_sequence([IMAGE], 2, 0)
    out = LeftOut(1.0)(sequence, Key(0))
    assert out.is_encoded is not None
    seen = out.inputs.select_rows(out.is_encoded)
    assert seen.num_samples == 2 and seen.cu_seqlens.tolist() == [0, 1, 2]  # the [CLS] rows
    model = ToyModel(sequence.vocabulary)
    assert int(PutBack(model)(model, out, Key(0)).parts["image/0/masked"][1]) == 32


class ResidualLevel(Masking):
    """The second model's question: one level from the sum of the lower ones. Mask kind j asks for level j."""

    def __init__(self, level: int) -> None:
        self.level = level

    def __call__(self, sequence: TokenSequence, key: Key) -> MaskedSequence:
        slot = torch.arange(sequence.vocabulary.num_codebooks)
        is_target = sequence.has_codebook() & (slot == self.level)
        kind = is_target.long() * self.level
        nothing = torch.where(sequence.has_codebook() & (slot > self.level), 0, sequence.ids)  # [PAD]
        inputs = replace(sequence, ids=nothing).hide(kind)
        return MaskedSequence(inputs, kind, sequence.ids, is_target, torch.zeros_like(kind))


def motion_sequence() -> TokenSequence:
    return random_sequence([TEXT, MOTION], 3, 6, num_mask_kinds=2)


@pytest.mark.parametrize("level", [1, 2])
def test_a_level_is_asked_from_the_sum_of_the_lower_ones(level: int) -> None:
    sequence = motion_sequence()
    vocabulary = sequence.vocabulary
    is_motion = sequence.modality == vocabulary.index("motion")
    out = ResidualLevel(level)(sequence, Key(0))
    assert [(t.name, t.codebook) for t in out.with_target_rows().target_rows] == [
        *([("text", level)] if level == 0 else []),
        ("motion", level),
    ]
    model = ToyModel(vocabulary)
    lower = model.table[sequence.ids[is_motion, :level]].sum(dim=1)
    asked = model.table[vocabulary.mask_id(level)]
    rest = model.embed(replace(out.inputs, ids=torch.zeros_like(out.inputs.ids)))
    torch.testing.assert_close(model.embed(out.inputs)[is_motion], lower + asked + rest[is_motion])

    features = model.forward_features(out.inputs)
    for slot in range(3):
        ids = sequence.ids.clone()
        start = vocabulary.slice("motion", slot).start
        ids[is_motion, slot] = start + (ids[is_motion, slot] - start + 1) % 12
        other = model.forward_features(ResidualLevel(level)(replace(sequence, ids=ids), Key(0)).inputs)
        assert bool(changed_rows(features, other).any()) == (slot < level)


def test_two_models_fill_a_motion_level_after_level() -> None:
    sequence = motion_sequence()
    vocabulary = sequence.vocabulary
    is_motion = sequence.modality == vocabulary.index("motion")
    models = nn.ModuleDict({"main": ToyModel(vocabulary, seed=1), "residual": ToyModel(vocabulary, seed=2)})
    ids = sequence.ids.clone()
    ids[is_motion, 0] = vocabulary.mask_id()
    ids[is_motion, 1:] = vocabulary.pad_id
    for level in range(3):
        model = models["main" if level == 0 else "residual"]
        assert isinstance(model, ToyModel)
        if level:
            ids[is_motion, level] = vocabulary.mask_id(level)
        features = model.forward_features(replace(sequence, ids=ids))
        codes = model.logits(features[is_motion], "motion", level).argmax(dim=1)
        ids[is_motion, level] = codes + vocabulary.slice("motion", level).start
    batch = unpack(replace(sequence, ids=ids))  # raises if a mask or an empty level is left
    assert batch.codes["motion"].shape == (18, 3)
    assert torch.equal(batch.codes["text"], unpack(sequence).codes["text"])
