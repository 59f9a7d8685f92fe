"""Drop path and dropout: rates, hashed draws, and nothing of them outside training."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from maskmm.model import MaskedTransformer, TransformerConfig
from maskmm.nn.config import (
    AttentionConfig,
    DecoderConfig,
    EmbeddingConfig,
    FeedForwardConfig,
    HeadConfig,
    ResidualConfig,
)
from maskmm.nn.draws import BranchDraws, HashedDropout, TrainingDraws
from maskmm.sequence import TokenSequence, pack, take_samples
from tests.maskmm.decoding.stubs import VOCABULARY, full_batch

NONE = TransformerConfig(
    width=16, depth=3, attention=AttentionConfig(num_heads=2), ffn=FeedForwardConfig(width=16), init_std=0.3
)
DROP_PATH = replace(NONE, residual=ResidualConfig(drop_path=0.5))
DROPOUT = replace(NONE, residual=ResidualConfig(dropout=0.3), embedding=EmbeddingConfig(dropout=0.2))
DECODER = replace(DROPOUT, head=HeadConfig(decoder=DecoderConfig(depth=2)))


def build(config: TransformerConfig) -> MaskedTransformer:
    torch.manual_seed(0)
    return MaskedTransformer(VOCABULARY, config).double()


def sequence_of(num_samples: int) -> TokenSequence:
    return pack(full_batch(num_samples), VOCABULARY)


def draw(draws: TrainingDraws, sequence: TokenSequence, name: str) -> Tensor:
    """(L, 2, ...) of one forward."""
    return torch.stack([torch.stack([getattr(b, name) for b in layer]) for layer in draws(sequence)])


def test_rates_of_drop_path_grow_with_depth_and_means_stay() -> None:
    sequence, draws = sequence_of(40), TrainingDraws(3, 1, 0.4, has_dropout=False)
    first = sequence.cu_seqlens[:-1]
    factor = torch.cat([draw(draws, sequence, "keep")[:, :, first] for _ in range(300)], dim=2)
    assert bool((factor[0] == 1).all()) and bool((factor[3] == 1).all())
    for layer, rate in ((1, 0.2), (2, 0.4)):
        assert float((factor[layer] == 0).float().mean()) == pytest.approx(rate, abs=0.01)
        assert float(factor[layer].mean()) == pytest.approx(1.0, abs=0.02)
    joint = (factor[2, 0] == 0) & (factor[2, 1] == 0)
    assert float(joint.float().mean()) == pytest.approx(0.16, abs=0.01)  # branches are drawn apart


def test_masks_of_dropout_are_as_if_random() -> None:
    sequence, dropout = sequence_of(60), HashedDropout(300, 0.2)
    noise = TrainingDraws(2, 0, 0.0, has_dropout=True)(sequence)[1][0].noise
    found = dropout(torch.ones(sequence.num_rows, 300), noise)
    is_dropped = (found == 0).double()
    assert bool(((found == 0) | (found == 1.25)).all())
    size = is_dropped.numel()
    assert float(is_dropped.mean()) == pytest.approx(0.2, abs=4 * (0.16 / size) ** 0.5)
    for dim in (0, 1):
        spread = (0.16 / is_dropped.shape[dim]) ** 0.5
        assert float(is_dropped.mean(dim=dim).std()) == pytest.approx(spread, rel=0.15)
    # Neighbours, and rows or channels further apart, know nothing of each other.
    centred = is_dropped - 0.2
    for shift in (1, 2, 16, 64):
        for one, other in ((centred[shift:], centred[:-shift]), (centred[:, shift:], centred[:, :-shift])):
            assert abs(float((one * other).mean()) / 0.16) < 5 / one.numel() ** 0.5


def test_sites_and_steps_are_drawn_apart() -> None:
    sequence, draws = sequence_of(20), TrainingDraws(2, 1, 0.0, has_dropout=True)
    first, second = draw(draws, sequence, "noise"), draw(draws, sequence, "noise")
    sites = torch.cat([first.flatten(0, 1), second.flatten(0, 1)])
    assert len(sites) == 12 and int(draws.step) == 2
    for one in range(12):
        for other in range(one):
            assert not bool((sites[one] == sites[other]).any())


@pytest.mark.parametrize("config", [DROP_PATH, DROPOUT, DECODER], ids=["drop path", "dropout", "decoder"])
def test_a_sample_s_draws_do_not_depend_on_its_batch_and_every_forward_draws_anew(
    config: TransformerConfig,
) -> None:
    sequence = sequence_of(6)
    kind = torch.zeros_like(sequence.ids)
    kind[::3] = 1
    sequence = sequence.hide(kind)
    model = build(config).train()
    first, second = model(sequence), model(sequence)
    assert not torch.equal(first, second)
    assert torch.equal(build(config).train()(sequence), first)
    alone = build(config).train()(take_samples(sequence, torch.tensor([4])))
    torch.testing.assert_close(alone, first[sequence.sample == 4], rtol=0, atol=1e-12)
    model.at_step(0)
    assert torch.equal(model(sequence), first)
    torch.testing.assert_close(model.eval()(sequence), build(config).eval()(sequence), rtol=0, atol=0)


def test_nothing_is_left_out_in_evaluation() -> None:
    sequence, plain = sequence_of(3), build(NONE)
    assert plain.draws is None
    for config in (DROP_PATH, DROPOUT):
        model = build(config)
        model.load_state_dict(plain.state_dict())
        assert torch.equal(model.eval()(sequence), plain.train()(sequence))


def test_a_dropped_branch_gives_nothing_and_gets_no_gradient() -> None:
    model, sequence = build(DROP_PATH), sequence_of(1)
    model.train()
    assert model.draws is not None
    model.draws.rate.fill_(0.0)
    model.draws.rate[1] = 1 - 1e-9  # the second block is left out for good
    model.forward_features(sequence).square().sum().backward()
    assert not any(p.grad.any() for p in model.blocks[1].parameters() if p.grad is not None)
    assert all(p.grad is not None and bool(p.grad.any()) for p in model.blocks[2].parameters())


def test_draws_are_no_weights_and_former_counters_are_ignored() -> None:
    model = build(DROP_PATH)
    assert model.state_dict().keys() == build(NONE).state_dict().keys()
    former = {"drop_path.seed": torch.tensor(3), "drop_path.step": torch.tensor(9)}
    model.load_state_dict(model.state_dict() | former)


def test_draws_of_some_rows() -> None:
    draws = BranchDraws(torch.arange(4.0)[:, None], torch.arange(4, dtype=torch.int32))
    some = draws.of_rows(torch.tensor([2, 0]))
    assert some.keep is not None and some.keep.flatten().tolist() == [2.0, 0.0]
    assert some.noise is not None and some.noise.tolist() == [2, 0]
    assert BranchDraws().of_rows(torch.tensor([0])) == BranchDraws()
