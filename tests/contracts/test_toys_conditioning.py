"""Toys of what stands beside the codes: COMMIT's condition codes, BEiT's continuous inputs, VideoBERT's pairs."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from maskmm.masking.base import MaskedSequence, Masking
from maskmm.objectives.base import MaskedModel, Objective, ObjectiveOutput
from maskmm.sequence import TokenSequence, pack, unpack
from maskmm.vocabulary import Vocabulary
from tests.contracts.toy_model import (
    IMAGE,
    TEXT,
    ToyModel,
    changed_rows,
    counters,
    part_losses,
    random_batch,
)
from tokenizers_vq.contract import BatchTransform, Key, Modality, SegmentTable, TokenBatch, TokenSpec


class Commit(Masking):
    """Chosen tokens are refined from the condition's codes where they touch it, else masked; loss everywhere."""

    def __init__(self, touches_condition: Tensor) -> None:
        self.touches_condition = touches_condition.flatten()  # (cells,) bool

    def __call__(self, sequence: TokenSequence, key: Key) -> MaskedSequence:
        assert sequence.condition_ids is not None
        ratio = torch.cos(torch.pi / 2 * key.fold("ratio").uniform(sequence.sample_id))[sequence.sample, None]
        is_chosen = sequence.has_codebook() & (key.fold("score").uniform(*counters(sequence)) < ratio)
        touches = self.touches_condition[sequence.row_in_segment()][:, None]
        kind = (is_chosen & ~touches).long()
        ids = torch.where(is_chosen & touches, sequence.condition_ids, sequence.hide(kind).ids)
        part = torch.where(is_chosen, kind, 2)
        return MaskedSequence(
            inputs=replace(sequence, ids=ids),
            mask_kind=kind,
            targets=sequence.ids,
            is_target=sequence.has_codebook(),
            part=part,
            part_names=("refine", "mask", "reconstruct"),
        )


def test_commit_refines_masks_and_reconstructs() -> None:
    batch = random_batch([IMAGE], 20, 0)
    condition = torch.randint(0, 16, (320, 1), generator=torch.Generator().manual_seed(5))
    batch = replace(batch, condition_codes={"image": condition})
    vocabulary = Vocabulary([IMAGE])
    sequence = pack(batch, vocabulary)
    assert torch.equal(unpack(sequence).condition_codes["image"], condition)
    touches = IMAGE.spec.tokens_of_box((0, 0), (32, 10), (4, 4))  # pixels 0 .. 9: columns 0 and 1
    assert touches.tolist() == [[True, True, False, False]] * 4
    out = Commit(touches)(sequence, Key(0))

    is_image, ids = sequence.has_codebook(), out.inputs.ids
    is_refine, is_mask, is_keep = (is_image & (out.part == number) for number in range(3))
    assert sequence.condition_ids is not None
    assert torch.equal(ids[is_refine], sequence.condition_ids[is_refine])
    assert bool((ids[is_mask] == vocabulary.mask_id()).all())
    assert torch.equal(ids[is_keep], sequence.ids[is_keep])
    column = sequence.position[:, 1:]
    assert bool((column[is_refine] <= 1).all()) and bool((column[is_mask] >= 2).all())
    assert torch.equal(out.is_target, is_image) and torch.equal(out.targets, sequence.ids)

    model = ToyModel(vocabulary)
    parts = part_losses(model, model.forward_features(out.inputs), out).parts
    assert list(parts) == ["image/0/refine", "image/0/mask", "image/0/reconstruct"]
    counts = [int(count) for _, count in parts.values()]
    assert sum(counts) == 320 and min(counts) > 30


class Beit(Masking):
    """Patches in, codes out: visible rows show no code, only their continuous input."""

    def __call__(self, sequence: TokenSequence, key: Key) -> MaskedSequence:
        is_target = sequence.has_codebook() & (key.uniform(*counters(sequence)) < 0.4)
        kind = is_target.long()
        no_code = torch.where(sequence.has_codebook(), sequence.vocabulary.pad_id, sequence.ids)
        inputs = replace(sequence, ids=no_code).hide(kind)
        return MaskedSequence(inputs, kind, sequence.ids, is_target, torch.zeros_like(kind))


def test_beit_sees_patches_and_is_asked_for_codes() -> None:
    batch = random_batch([IMAGE], 3, 0)
    patches = torch.randn(48, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    sequence = pack(replace(batch, inputs={"image": patches}), Vocabulary([IMAGE]))
    model = ToyModel(sequence.vocabulary, input_widths={"image": 5})
    out = Beit()(sequence, Key(0))
    features = model.forward_features(out.inputs)
    (rows,) = out.with_target_rows().target_rows
    assert torch.equal(rows.codes, batch.codes["image"][out.is_target[out.inputs.modality == 1, 0], 0])
    assert int(part_losses(model, features, out).parts["image/0/masked"][1]) == int(out.is_target.sum())

    def features_of(codes: Tensor, inputs: Tensor) -> Tensor:
        changed = replace(batch, codes={"image": codes}, inputs={"image": inputs})
        return model.forward_features(Beit()(pack(changed, sequence.vocabulary), Key(0)).inputs)

    other_codes = (batch.codes["image"] + 1) % 16
    assert torch.equal(features_of(other_codes, patches), features)  # no code leaks in
    is_hidden = out.mask_kind[out.inputs.modality == 1]
    assert torch.equal(features_of(other_codes, patches + is_hidden), features)  # nor any hidden patch
    assert bool(changed_rows(features_of(other_codes, patches + 1 - is_hidden), features).all())


ALIGNED = Modality("aligned", TokenSpec(2))
PAIRS = [IMAGE, TEXT, ALIGNED]


class MisPair(BatchTransform):
    """Half of the samples pass their text on to the next such sample; a label says who has its own."""

    def __call__(self, batch: TokenBatch, key: Key) -> TokenBatch:
        owner = torch.arange(batch.num_samples)
        moved = (key.uniform(batch.sample_id) < 0.5).nonzero().flatten()
        owner[moved] = moved.roll(1)
        table, label = batch.segments, batch.names.index("aligned")
        sample = torch.where(table.modality == batch.names.index("text"), owner[table.sample], table.sample)
        order = torch.cat([sample, torch.arange(batch.num_samples)]).argsort(stable=True)
        added = torch.arange(batch.num_samples)
        segments = SegmentTable(
            torch.cat([sample, added])[order],
            torch.cat([table.modality, torch.full_like(added, label)])[order],
            torch.cat([table.start, added])[order],
            torch.cat([table.shape, torch.ones(len(added), table.shape.shape[1], dtype=torch.int64)])[order],
        )
        is_own = (owner == added).long()[:, None]
        return replace(batch, codes={**batch.codes, "aligned": is_own}, segments=segments)


class MaskedPairs(Masking):
    """Masked tokens of both sides, and the hidden alignment label as a part of its own."""

    def __call__(self, sequence: TokenSequence, key: Key) -> MaskedSequence:
        is_label = (sequence.modality == sequence.vocabulary.index("aligned"))[:, None]
        kind = (sequence.has_codebook() & (is_label | (key.uniform(*counters(sequence)) < 0.15))).long()
        part = is_label.long().expand_as(kind)
        names = ("masked", "alignment")
        return MaskedSequence(sequence.hide(kind), kind, sequence.ids, kind.bool(), part, part_names=names)


class Alignment(Objective):
    """The label is answered from the sample's [CLS] row."""

    def forward(self, model: MaskedModel, batch: MaskedSequence, key: Key) -> ObjectiveOutput:
        assert isinstance(model, ToyModel)
        features = model.forward_features(batch.inputs)
        cls_rows = batch.inputs.cu_seqlens[batch.inputs.sample]
        is_label = batch.inputs.modality == model.vocabulary.index("aligned")
        answers = torch.where(is_label[:, None], features[cls_rows], features)
        return part_losses(model, answers, batch)


def test_videobert_mis_pairs_texts_and_asks_the_cls_row() -> None:
    batch = random_batch([IMAGE, TEXT], 12, 6)
    patches = torch.arange(12 * 16)[:, None].double()
    words = torch.arange(12 * 6)
    batch = replace(
        batch,
        names=(*batch.names, "aligned"),
        codes={**batch.codes, "aligned": torch.zeros(0, 1, dtype=torch.int64)},
        inputs={"image": patches},
        group={"text": words},
    )
    transform: BatchTransform = MisPair()
    paired = transform(batch, Key(2))
    before, after = batch.samples(PAIRS), paired.samples(PAIRS)
    owned = []
    for old, new in zip(before, after):
        assert torch.equal(old["image"][0], new["image"][0])
        is_own = torch.equal(old["text"][0], new["text"][0])
        assert int(new["aligned"][0]) == int(is_own)
        owned.append(is_own)
    assert 2 <= owned.count(False) <= 10
    assert sorted(s["text"][0].flatten().tolist() for s in before) == sorted(
        s["text"][0].flatten().tolist() for s in after
    )

    vocabulary = Vocabulary(PAIRS)
    sequence = pack(paired, vocabulary)
    assert torch.equal(sequence.inputs["image"], patches)  # the images stayed where they were
    assert sequence.group is not None  # and the texts took their words with them
    text_codes = sequence.ids[sequence.modality == 2, 0] - vocabulary.slice("text", 0).start
    word = sequence.group[sequence.modality == 2]
    assert torch.equal(text_codes, batch.codes["text"][word, 0])

    out = MaskedPairs()(sequence, Key(0))
    model = ToyModel(vocabulary, input_widths={"image": 1})
    parts = Alignment()(model, out, Key(0)).parts
    assert int(parts["aligned/0/alignment"][1]) == 12
    assert int(parts["text/0/masked"][1]) + int(parts["image/0/masked"][1]) == int(out.is_target.sum()) - 12
    cls_features = model.forward_features(out.inputs)[out.inputs.cu_seqlens[:-1]]
    labels = torch.tensor(owned).long()
    expected = torch.nn.functional.cross_entropy(
        model.logits(cls_features, "aligned", 0), labels, reduction="sum"
    )
    torch.testing.assert_close(parts["aligned/0/alignment"][0], expected)
