"""Partial loading: what fits is copied to the bit, row by row where rows stand for something; the rest is named."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest
import torch

from maskmm.checkpoint.warm_start import freeze, take_over
from maskmm.model import MaskedTransformer, TransformerConfig
from maskmm.nn.config import AttentionConfig, FeedForwardConfig
from maskmm.vocabulary import Vocabulary
from tokenizers_vq.contract import Modality, TokenSpec

TEXT = Modality("text", TokenSpec(12, axes=("t",), max_length=6))
IMAGE = Modality("image", TokenSpec(7, 2, ("y", "x"), (2, 3)))
SPEECH = Modality("speech", TokenSpec(5, axes=("t",), max_length=4))
CONFIG = TransformerConfig(
    width=16, depth=2, attention=AttentionConfig(num_heads=2), ffn=FeedForwardConfig(width=24), init_std=0.5
)
ALIASES = {"[CLS]": ("text", 9), "[SEP]": ("text", 10), "[MASK]": ("text", 11)}


def model(modalities: list[Modality], seed: int = 0, **changes) -> MaskedTransformer:
    torch.manual_seed(seed)
    aliases = changes.pop("aliases", None)
    built = MaskedTransformer(Vocabulary(modalities, aliases=aliases), replace(CONFIG, **changes))
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.normal_()
        built.embedding.positions.weight[0] = 0.0  # stands for nothing, in every model
    return built


def test_the_same_shape_is_taken_over_whole(caplog) -> None:
    source, target = model([TEXT, IMAGE], 1), model([TEXT, IMAGE], 2)
    with caplog.at_level(logging.INFO):
        report = take_over(target, source, "there")
    assert not report.new and not report.ignored
    for one, other in zip(source.parameters(), target.parameters(), strict=True):
        assert torch.equal(one, other)
    assert f"there: {len(report.loaded)} weights loaded, 0 new, 0 ignored" in caplog.text
    assert "blocks.{}.ffn.down.weight (2)" in caplog.text


def test_rows_go_by_what_they_stand_for() -> None:
    source, target = model([SPEECH, TEXT], 1, aliases=ALIASES), model([TEXT, IMAGE], 2)
    before = target.embedding.codes.weight.detach().clone()
    report = take_over(target, source, "there")
    ours, theirs = target.embedding.codes.weight, source.embedding.codes.weight
    assert torch.equal(ours[target.vocabulary.slice("text", 0)], theirs[source.vocabulary.slice("text", 0)])
    assert torch.equal(ours[target.vocabulary.cls_id], theirs[source.vocabulary.cls_id])
    assert torch.equal(ours[target.vocabulary.mask_id()], theirs[source.vocabulary.mask_id()])
    image = target.vocabulary.slice("image", 1)
    assert torch.equal(ours[image], before[image])
    assert torch.equal(target.embedding.modality.weight[1], source.embedding.modality.weight[2])
    slots, their_slots = target.embedding.positions.offset, source.embedding.positions.offset
    a, b = int(slots[1].max()), int(their_slots[2].max())
    assert torch.equal(
        target.embedding.positions.weight[a : a + 6], source.embedding.positions.weight[b : b + 6]
    )
    assert {
        "embedding.codes.weight[image 0]",
        "head_bias[image 1]",
        "embedding.modality.weight[image]",
    } <= set(report.new)
    assert {"embedding.codes.weight[speech 0]", "embedding.positions.weight[speech t]"} <= set(report.ignored)
    assert "blocks.1.attention.qkv.weight" in report.loaded


def test_another_depth_and_another_width() -> None:
    source, target = model([TEXT], 1, depth=3), model([TEXT], 2)
    report = take_over(target, source, "there")
    assert not report.new and all(name.startswith("blocks.2.") for name in report.ignored)
    deeper = take_over(model([TEXT], 3, depth=4), source, "there")
    assert all(name.startswith("blocks.3.") for name in deeper.new) and not deeper.ignored
    wider = model([TEXT], 4, ffn=FeedForwardConfig(width=32))
    report = take_over(wider, source, "there")
    assert "blocks.0.ffn.down.weight" in report.new and "blocks.0.ffn.down.weight" in report.ignored
    with pytest.raises(ValueError, match="no block of there fits"):
        take_over(model([IMAGE], 5, width=32), model([TEXT], 1, width=64), "there")


def test_a_modality_of_another_size_is_new() -> None:
    other = Modality("text", TokenSpec(13, axes=("t",), max_length=6))
    report = take_over(model([other], 2), model([TEXT], 1), "there")
    assert (
        "embedding.codes.weight[text 0]" in report.new and "embedding.codes.weight[text 0]" in report.ignored
    )
    assert "embedding.positions.weight[text t]" in report.loaded


def test_freezing_by_pattern() -> None:
    target = model([TEXT])
    names = freeze(target, ["embedding.*", "blocks.[0]*.attention.*"])
    assert set(names) == {name for name, p in target.named_parameters() if not p.requires_grad}
    assert "blocks.0.attention.out.weight" in names and "blocks.1.attention.out.weight" not in names
    assert freeze(model([TEXT]), []) == []
    with pytest.raises(ValueError, match=r"frozen=\['layers.*'\] match no weight; names are like"):
        freeze(target, ["embedding.*", "layers.*"])
    with pytest.raises(ValueError, match="match every weight"):
        freeze(target, ["*"])
