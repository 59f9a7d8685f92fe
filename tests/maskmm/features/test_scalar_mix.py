"""A learned mix of layers."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import maskmm
from maskmm.features import FeatureExtractor
from maskmm.model import MaskedTransformer, TransformerConfig
from maskmm.nn.config import AttentionConfig, FeedForwardConfig
from maskmm.scalar_mix import ScalarMix
from tests.maskmm.decoding.stubs import VOCABULARY, full_batch


@pytest.mark.parametrize("has_norm", [False, True])
@pytest.mark.parametrize("shape", [(5,), (2, 3), ()])
def test_it_is_the_weighted_sum_of_the_layers(shape: tuple[int, ...], has_norm: bool) -> None:
    torch.manual_seed(0)
    mix, layers = ScalarMix(3, has_norm).double(), torch.randn(3, *shape, 4, dtype=torch.float64)
    nn.init.normal_(mix.scores)
    nn.init.constant_(mix.gain, 1.7)
    weights = mix.scores.exp() / mix.scores.exp().sum()
    torch.testing.assert_close(mix.weights(), weights)
    parts = list(layers)
    if has_norm:
        parts = [
            (p - p.mean(-1, keepdim=True)) / (p.var(-1, keepdim=True, correction=0) + 1e-5).sqrt()
            for p in parts
        ]
    expected = 1.7 * sum(w * p for w, p in zip(weights, parts))
    torch.testing.assert_close(mix(torch.cat(list(layers), dim=-1)), expected)


def test_it_starts_as_the_mean_and_finds_the_layer_that_tells() -> None:
    config = TransformerConfig(
        width=16,
        depth=2,
        attention=AttentionConfig(num_heads=2),
        ffn=FeedForwardConfig(width=8),
        init_std=0.3,
    )
    torch.manual_seed(0)
    model, batch = MaskedTransformer(VOCABULARY, config).eval(), full_batch(12)
    layers = [FeatureExtractor(model, layers=[layer])(batch)["joint"] for layer in (0, 1, -1)]
    x = FeatureExtractor(model, layers=[0, 1, -1])(batch)["joint"]
    assert isinstance(x, torch.Tensor)
    mix = maskmm.ScalarMix(3)
    torch.testing.assert_close(mix(x), torch.stack(layers).mean(dim=0))  # type: ignore[arg-type]
    optimizer = torch.optim.Adam(mix.parameters(), lr=0.1)
    for _ in range(100):
        optimizer.zero_grad()
        (mix(x) - layers[1]).square().mean().backward()
        optimizer.step()
    assert int(mix.weights().argmax()) == 1 and float(mix.weights()[1]) > 0.8


def test_bad_numbers_of_layers_are_refused() -> None:
    with pytest.raises(ValueError, match="num_layers=0, expected at least 1"):
        ScalarMix(0)
    with pytest.raises(ValueError, match="features of width 8 for num_layers=3"):
        ScalarMix(3)(torch.zeros(2, 8))
