"""Toys that replace tokens: BERT and whole words, MoMask's 10 % / 88 %, ELECTRA's second forward."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maskmm.masking.base import MaskedSequence, Masking, masked_at
from maskmm.objectives.base import MaskedModel, Objective, ObjectiveOutput
from maskmm.sequence import TokenSequence, concatenate, pack
from maskmm.vocabulary import Vocabulary
from tests.contracts.toy_model import (
    IMAGE,
    MOTION,
    TEXT,
    ToyModel,
    counters,
    part_losses,
    random_batch,
    random_ids,
    random_sequence,
)
from tokenizers_vq.contract import Key


class Replacing(Masking):
    """Choose `rate`; of the chosen `random` get a random code, of the others `masked` get [MASK], the rest stay."""

    def __init__(self, rate: float, random: float, masked: float) -> None:
        self.rate, self.random, self.masked = rate, random, masked

    def __call__(self, sequence: TokenSequence, key: Key) -> MaskedSequence:
        where = counters(sequence)
        is_target = sequence.has_codebook() & (key.fold("choose").uniform(*where) < self.rate)
        is_random = is_target & (key.fold("random").uniform(*where) < self.random)
        kind = (is_target & ~is_random & (key.fold("mask").uniform(*where) < self.masked)).long()
        ids = torch.where(is_random, random_ids(sequence, key.fold("code")), sequence.hide(kind).ids)
        part = torch.zeros_like(kind)
        return MaskedSequence(replace(sequence, ids=ids), kind, sequence.ids, is_target, part)


BERT = Replacing(0.15, random=0.1, masked=0.8 / 0.9)
MOMASK = Replacing(0.6, random=0.1, masked=0.88)


def is_near(count: Tensor, total: Tensor, share: float) -> bool:
    return abs(int(count) - share * int(total)) < 5 * (share * (1 - share) * int(total)) ** 0.5


@pytest.mark.parametrize("masking, shares", [(BERT, (0.8, 0.1, 0.1)), (MOMASK, (0.792, 0.1, 0.108))])
def test_shares_of_mask_random_and_kept(masking: Replacing, shares: tuple[float, float, float]) -> None:
    sequence = random_sequence([TEXT, IMAGE, MOTION], 60, 40)
    out = masking(sequence, Key(0))
    total = out.is_target.sum()
    assert is_near(total, sequence.has_codebook().sum(), masking.rate)
    assert not bool((out.is_target & ~sequence.has_codebook()).any())  # never [CLS], never an unused slot
    is_masked = out.is_target & (out.mask_kind == 1)
    is_changed = out.is_target & ~is_masked & (out.inputs.ids != out.targets)
    is_kept = out.is_target & ~is_masked & ~is_changed
    assert is_near(is_masked.sum(), total, shares[0])
    assert bool((out.inputs.ids[is_masked] == sequence.vocabulary.mask_id()).all())
    # A random code equals the right one once in codebook_size draws (12 to 30 here).
    assert shares[1] * 0.75 < int(is_changed.sum()) / int(total) < shares[1] * 1.15
    assert int(is_kept.sum()) > 0
    assert torch.equal(out.inputs.ids[~out.is_target], sequence.ids[~out.is_target])
    assert torch.equal(out.targets, sequence.ids)


def test_random_codes_are_legal_for_their_row_and_codebook() -> None:
    sequence = random_sequence([TEXT, IMAGE, MOTION], 20, 40)
    out = Replacing(1.0, random=1.0, masked=0.0)(sequence, Key(1))
    for m in sequence.vocabulary.modalities:
        rows = sequence.modality == sequence.vocabulary.index(m.name)
        codes = sequence.vocabulary.to_codes(m.name, out.inputs.ids[rows])  # raises if illegal
        assert codes.unique().numel() == m.spec.codebook_size


def test_a_sample_is_masked_alike_in_any_batch() -> None:
    sequence = random_sequence([TEXT, MOTION], 5, 20)
    whole, key = MOMASK(sequence, Key(3, step=8)), Key(3, step=8)
    start, stop = sequence.cu_seqlens[2:4].tolist()
    batch = random_batch([TEXT, MOTION], 5, 20)
    alone = batch.keep_segments(batch.segments.sample == 2)
    out = MOMASK(pack(alone, sequence.vocabulary), key)
    rows = out.inputs.sample == 2
    assert torch.equal(out.inputs.ids[rows], whole.inputs.ids[start:stop])
    twice = MOMASK(concatenate([sequence, sequence]), key)
    assert torch.equal(twice.inputs.ids, torch.cat([whole.inputs.ids, whole.inputs.ids]))


class WholeWords(Masking):
    """All pieces of a word share one draw."""

    def __call__(self, sequence: TokenSequence, key: Key) -> MaskedSequence:
        assert sequence.group is not None
        segment = sequence.segment - torch.searchsorted(sequence.segments.sample, sequence.sample)
        word = (sequence.sample_id[sequence.sample], segment, sequence.group)
        return masked_at(sequence, sequence.has_codebook() & (key.uniform(*word) < 0.4)[:, None])


def test_whole_words_are_masked_together() -> None:
    batch = random_batch([TEXT], 8, 30)
    words = (torch.arange(30) // 3).repeat(8)
    sequence = pack(replace(batch, group={"text": words}), Vocabulary([TEXT]))
    is_masked = WholeWords()(sequence, Key(0)).is_target[sequence.segment >= 0, 0].view(80, 3)
    assert bool((is_masked.all(dim=1) == is_masked.any(dim=1)).all())
    assert 0 < int(is_masked.all(dim=1).sum()) < 80


class Electra(Objective):
    """The model fills the masks; a second network tells for every token whether it was replaced."""

    def __init__(self, discriminator: ToyModel) -> None:
        super().__init__()
        self.discriminator = discriminator
        self.head = nn.Linear(discriminator.width, 1, dtype=torch.float64)

    def forward(self, model: MaskedModel, batch: MaskedSequence, key: Key) -> ObjectiveOutput:
        assert isinstance(model, ToyModel)
        features = model.forward_features(batch.inputs)
        ids = batch.inputs.ids.clone()
        for t in batch.with_target_rows().target_rows:
            noise = key.gumbel(t.rows[:, None], torch.arange(model.vocabulary.spec(t.name).codebook_size))
            filled = (model.logits(features[t.rows].detach(), t.name, t.codebook) + noise).argmax(dim=1)
            ids[t.rows, t.codebook] = filled + model.vocabulary.slice(t.name, t.codebook).start
        is_token = batch.inputs.has_codebook()[:, 0]
        is_replaced = (ids != batch.targets).any(dim=1)  # a lucky match counts as original
        score = self.head(self.discriminator.forward_features(replace(batch.inputs, ids=ids))).flatten()
        loss = F.binary_cross_entropy_with_logits(score, is_replaced.double(), reduction="none")
        parts = part_losses(model, features, batch).parts
        return ObjectiveOutput({**parts, "replaced": (50 * (loss * is_token).sum(), is_token.sum())})


def test_electra_adds_a_part_over_every_token_and_no_gradient_through_the_samples() -> None:
    sequence = random_sequence([TEXT], 4, 20)
    where = counters(sequence)
    batch = masked_at(sequence, sequence.has_codebook() & (Key(0).uniform(*where) < 0.3))
    generator = ToyModel(sequence.vocabulary, seed=1)
    objective = Electra(ToyModel(sequence.vocabulary, seed=2))
    out = objective(generator, batch, Key(5))
    assert out.parts["text/0/masked"][1] == batch.is_target.sum()
    assert out.parts["replaced"][1] == 4 * 20
    out.parts["replaced"][0].backward(retain_graph=True)
    assert generator.table.grad is None and objective.discriminator.table.grad is not None
    out.parts["text/0/masked"][0].backward()
    assert generator.table.grad is not None
    again = objective(generator, batch, Key(5)).parts["replaced"][0]
    assert again == out.parts["replaced"][0]
    assert again != objective(generator, batch, Key(6)).parts["replaced"][0]


def test_a_generator_that_is_always_right_leaves_nothing_to_detect(monkeypatch: pytest.MonkeyPatch) -> None:
    sequence = random_sequence([TEXT], 2, 9)
    batch = masked_at(sequence, sequence.has_codebook())
    objective, generator = Electra(ToyModel(sequence.vocabulary, seed=2)), ToyModel(sequence.vocabulary)
    right = F.one_hot(sequence.vocabulary.to_codes("text", sequence.ids[sequence.segment >= 0])[:, 0], 30)
    monkeypatch.setattr(generator, "logits", lambda *_: right * 1e6)
    score = objective.head(objective.discriminator.forward_features(sequence)).flatten()[
        sequence.segment >= 0
    ]
    loss = objective(generator, batch, Key(0)).parts["replaced"][0]
    torch.testing.assert_close(loss, 50 * F.softplus(score).sum())
