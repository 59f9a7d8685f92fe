"""Stochastic depth: rates, hashed draws, and nothing of it outside training."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from maskmm.model import MaskedTransformer, TransformerConfig
from maskmm.nn.config import AttentionConfig, FeedForwardConfig, ResidualConfig
from maskmm.nn.drop_path import DropPath
from maskmm.sequence import pack, take_samples
from tests.maskmm.decoding.stubs import VOCABULARY, full_batch

CONFIG = TransformerConfig(
    width=16, depth=3, attention=AttentionConfig(num_heads=2), ffn=FeedForwardConfig(width=16),
    residual=ResidualConfig(drop_path=0.5), init_std=0.3,
)  # fmt: skip


def build(config: TransformerConfig = CONFIG) -> MaskedTransformer:
    torch.manual_seed(0)
    return MaskedTransformer(VOCABULARY, config).double()


def test_rates_grow_with_depth_and_means_stay() -> None:
    drop = DropPath(3, 0.4)
    sample_id = torch.arange(20000)
    factor = drop(sample_id, sample_id)
    assert factor.shape == (3, 2, 20000, 1)
    assert bool((factor[0] == 1).all())
    for layer, rate in ((1, 0.2), (2, 0.4)):
        assert float((factor[layer] == 0).float().mean()) == pytest.approx(rate, abs=0.01)
        assert float(factor[layer].mean()) == pytest.approx(1.0, abs=0.02)
    joint = (factor[2, 0] == 0) & (factor[2, 1] == 0)
    assert float(joint.float().mean()) == pytest.approx(0.16, abs=0.01)  # branches are drawn apart


def test_a_sample_s_draw_does_not_depend_on_its_batch_and_every_forward_draws_anew() -> None:
    first, second = DropPath(4, 0.5), DropPath(4, 0.5)
    second.load_state_dict(first.state_dict())
    ids = torch.tensor([7, 3, 11])
    many, one = first(ids, torch.tensor([0, 1, 1, 2])), second(ids[2:], torch.tensor([0]))
    assert torch.equal(many[:, :, 3:], one)
    draws = [first(torch.arange(50), torch.arange(50)) for _ in range(2)]
    assert not torch.equal(*draws)
    assert int(first.step) == 3


def test_training_draws_and_evaluation_does_not() -> None:
    model, sequence = build(), pack(full_batch(6), VOCABULARY)
    plain = build(replace(CONFIG, residual=ResidualConfig()))
    assert torch.equal(model.eval()(sequence), plain.eval()(sequence))
    model.train()
    first, second = model(sequence), model(sequence)
    assert not torch.equal(first, second)
    again = build().train()
    assert torch.equal(again(sequence), first)
    fresh = build().train()
    alone = fresh(take_samples(sequence, torch.tensor([4])))
    torch.testing.assert_close(alone, first[sequence.sample == 4], rtol=0, atol=1e-12)


def test_a_dropped_branch_gives_nothing_and_gets_no_gradient() -> None:
    model, sequence = build(), pack(full_batch(1), VOCABULARY)
    model.train()
    assert model.drop_path is not None
    model.drop_path.rate.fill_(0.0)
    model.drop_path.rate[1] = 1 - 1e-9  # the second block is left out for good
    model.forward_features(sequence).square().sum().backward()
    assert not any(p.grad.any() for p in model.blocks[1].parameters() if p.grad is not None)
    assert all(p.grad is not None and bool(p.grad.any()) for p in model.blocks[2].parameters())


def test_the_state_is_saved() -> None:
    assert {"drop_path.seed", "drop_path.step"} <= build().state_dict().keys()
    assert not any(
        name.startswith("drop_path")
        for name in build(replace(CONFIG, residual=ResidualConfig())).state_dict()
    )
