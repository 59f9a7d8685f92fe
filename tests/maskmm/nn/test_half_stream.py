"""Norms of half-precision rows, and a stream of half precision under autocast."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from maskmm.model import MaskedTransformer
from maskmm.nn.config import (
    AttentionConfig,
    DecoderConfig,
    FeedForwardConfig,
    HeadConfig,
    NormConfig,
    ResidualConfig,
)
from maskmm.nn.norm import build_norm
from maskmm.nn.transformer_config import TransformerConfig
from maskmm.sequence import TokenSequence, pack
from maskmm.vocabulary import Vocabulary
from tokenizers_vq.contract import Modality, TokenBatch, TokenSpec


@pytest.mark.parametrize("config", [NormConfig(), NormConfig(kind="layer", has_bias=True)])
def test_norms_of_half_precision_are_those_of_float32(config: NormConfig) -> None:
    norm = build_norm(64, config)
    x = torch.randn(5, 64, generator=torch.Generator().manual_seed(0)).bfloat16()
    assert norm(x).dtype == torch.float32
    torch.testing.assert_close(norm(x), norm(x.float()))


def test_a_model_cast_to_half_precision_as_a_whole_runs_without_autocast() -> None:
    sequence = _sequence()
    exact = _model(sequence, False).forward_features(sequence)
    half = _model(sequence, False).bfloat16().forward_features(sequence)
    assert half.dtype == torch.bfloat16
    assert float((half.float() - exact).detach().norm() / exact.norm()) < 0.05


def _sequence() -> TokenSequence:
    text = Modality("text", TokenSpec(32, axes=("t",), max_length=16))
    generator = torch.Generator().manual_seed(1)
    samples = [{"text": torch.randint(32, (n, 1), generator=generator)} for n in (5, 9, 16)]
    return pack(TokenBatch.from_samples(samples, [text]), Vocabulary([text]))


def _model(sequence: TokenSequence, has_half_stream: bool, **changes: Any) -> MaskedTransformer:
    torch.manual_seed(0)
    config = TransformerConfig(
        width=32,
        depth=2,
        attention=AttentionConfig(num_heads=2),
        ffn=FeedForwardConfig(width=48),
        residual=ResidualConfig(has_half_stream=has_half_stream),
        init_std=0.2,
    )
    return MaskedTransformer(sequence.vocabulary, replace(config, **changes))


def test_without_autocast_a_half_stream_changes_nothing() -> None:
    sequence = _sequence()
    features = [_model(sequence, half).forward_features(sequence) for half in (False, True)]
    assert torch.equal(*features)


def test_under_autocast_the_stream_is_half_and_stays_close() -> None:
    sequence = _sequence()
    exact = _model(sequence, False).forward_features(sequence)
    model = _model(sequence, True)
    with torch.autocast("cpu", torch.bfloat16):
        inner, features = model.forward_intermediates(sequence, [1, 2])
    assert inner.dtype == torch.bfloat16 and features.dtype == torch.float32
    assert float((features - exact).detach().norm() / exact.norm()) < 0.03
    features.sum().backward()
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in model.parameters())


@pytest.mark.parametrize(
    ("changes", "dtype"),
    [
        ({"residual": ResidualConfig(has_half_stream=True, layer_scale=0.1)}, torch.bfloat16),
        ({"residual": ResidualConfig(has_half_stream=True, drop_path=0.1)}, torch.bfloat16),
        ({"residual": ResidualConfig(layer_scale=0.1)}, torch.float32),
        ({"head": HeadConfig(decoder=DecoderConfig(2, width=16))}, torch.float32),
    ],
)
def test_under_autocast_every_block_keeps_the_dtype_of_the_stream(
    changes: dict[str, Any], dtype: torch.dtype
) -> None:
    sequence, found = _sequence(), list[torch.dtype]()
    model = _model(sequence, False, **changes)
    for block in (*model.blocks, *(() if model.decoder is None else model.decoder.blocks)):
        block.register_forward_hook(lambda _, __, output: found.append(output.dtype))
    with torch.autocast("cpu", torch.bfloat16):
        model(sequence)
    assert len(found) >= 2 and set(found) == {dtype}
