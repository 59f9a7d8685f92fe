"""Parts of the family in combination: every attention with every way of positions, the other parts taking turns."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest
import torch

from maskmm.model import TransformerConfig
from maskmm.nn.config import (
    AttentionConfig,
    DecoderConfig,
    EmbeddingConfig,
    FeedForwardConfig,
    HeadConfig,
    NormConfig,
    PositionConfig,
    ResidualConfig,
)
from maskmm.rows import AskedRows, is_wholly_masked
from tests.maskmm.nn.test_family import NOWHERE, batch, build
from tests.reference.naive_encoder import naive_layers
from tests.reference.naive_left_out import naive_left_out
from tokenizers_vq.contract import Key

ATTENTION = [
    AttentionConfig(2, qkv_bias="qv", has_out_bias=True),
    AttentionConfig(4, num_kv_heads=2, head_width=6, qk_norm="layer"),
    AttentionConfig(3, head_width=6, qk_norm="rms", qkv_bias="all"),
    AttentionConfig(2, num_kv_heads=1, window=2),
    AttentionConfig(2, window=1, global_every=2, qk_norm="rms"),
]
POSITIONS = [
    PositionConfig(local_base=10.0),
    PositionConfig("sample", 1000.0, 10.0, "halves", "absolute", size=40, offset=2, conv_kernel=3),
    replace(NOWHERE, source="sample", bias="alibi"),
    PositionConfig(pairing="halves", bias="gated_bucketed", is_bias_shared=False),
    PositionConfig(learned=None, bias="bucketed", num_buckets=8, max_distance=6, conv_kernel=4, conv_groups=3),
    PositionConfig(rotary=None, bias="table_2d", is_bias_shared=False),
    PositionConfig("sample", None, learned="absolute", size=30, bias="gated_bucketed", conv_kernel=40),
    NOWHERE,
]  # fmt: skip
NORMS = [
    NormConfig(),
    NormConfig("layer", "post", has_bias=True, has_final=False, has_embedding_norm=True),
    NormConfig("layer", is_first_skipped=True, has_embedding_norm=True),
    NormConfig("rms", "deepnorm"),
    NormConfig("layer", has_bias=True, has_final=False),
    NormConfig("rms", "post"),
    NormConfig("layer", "deepnorm", has_bias=True, has_final=False, has_embedding_norm=True),
]
RESIDUALS = [
    ResidualConfig(layer_scale=0.3, has_depth_average=True),
    ResidualConfig(is_parallel=True, has_depth_average=True),
    ResidualConfig(layer_scale=0.5, has_half_stream=True),
]
DECODERS = [None, DecoderConfig(1, width=8, num_heads=1, ffn_width=5), DecoderConfig(1)]
FEED_FORWARDS = [FeedForwardConfig(6, "geglu", True), FeedForwardConfig(5, "relu"), FeedForwardConfig(1)]


def combined(number: int, attention: AttentionConfig, positions: PositionConfig) -> TransformerConfig:
    norm, residual = NORMS[number % len(NORMS)], RESIDUALS[number % len(RESIDUALS)]
    if norm.placement != "pre" or norm.is_first_skipped:
        residual = replace(residual, is_parallel=False)
    return TransformerConfig(
        width=12,
        depth=2,
        attention=attention,
        ffn=FEED_FORWARDS[number // 2 % len(FEED_FORWARDS)],
        norm=norm,
        positions=positions if attention.window is not None else replace(positions, local_base=None),
        residual=residual,
        embedding=EmbeddingConfig(has_modality=number % 2 == 0, num_repeats=number % 3),
        head=HeadConfig(decoder=DECODERS[number // 3 % len(DECODERS)]),
        init_std=0.4,
    )


CONFIGS = [combined(i, *parts) for i, parts in enumerate(product(ATTENTION, POSITIONS))]


@pytest.mark.parametrize("config", CONFIGS, ids=range(len(CONFIGS)))
def test_combinations_are_the_twin_s(config: TransformerConfig) -> None:
    model, sequence = build(config), batch()
    index = torch.arange(sequence.num_rows)
    is_masked = (Key(2).uniform(index) < 0.5) & (sequence.segment >= 0)
    sequence = sequence.hide(is_masked.long()[:, None])
    tolerance = 1e-9 if model.rotary is None else 1e-5
    layers = naive_layers(model, sequence)
    for found, wanted in zip(model.forward_intermediates(sequence, range(config.depth + 1)), layers):
        torch.testing.assert_close(found, wanted, atol=tolerance, rtol=tolerance)

    has_decoder = config.head.decoder is not None
    twin = naive_left_out(model, sequence, ~is_wholly_masked(sequence)) if has_decoder else layers[-1]
    torch.testing.assert_close(model.forward_features(sequence), twin, atol=tolerance, rtol=tolerance)
    is_asked = Key(3).uniform(index) < 0.4
    answers = model.forward_asked(sequence, AskedRows.of(sequence, is_asked))
    weight = torch.randn(answers.shape, dtype=answers.dtype, generator=torch.Generator().manual_seed(2))
    used = [p for name, p in model.named_parameters() if not name.startswith("head_")]
    got, want = (
        torch.autograd.grad((x * weight).sum(), used, allow_unused=True) for x in (answers, twin[is_asked])
    )
    for one, other in zip(got, want):
        pair = [torch.zeros(()) if g is None else g for g in (one, other)]
        torch.testing.assert_close(*pair, atol=10 * tolerance, rtol=10 * tolerance, check_dtype=False)
