"""The block, written out: pre-norm, rotary attention, SwiGLU, optional norms of queries and keys."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from maskmm.nn.block import PreNormBlock
from maskmm.nn.config import AttentionConfig, FeedForwardConfig, ResidualConfig
from maskmm.nn.context import LayerContext
from maskmm.nn.draws import BranchDraws
from maskmm.nn.layout import AttentionLayout
from maskmm.nn.query_key_norm import QueryKeyNorm
from maskmm.nn.rotary import AxialRotary
from maskmm.nn.transformer_config import TransformerConfig
from tests.reference.naive_attention import naive_attend

WIDTH, HEADS = 8, 2


def rms(x: Tensor, gain: Tensor) -> Tensor:
    return x / (x.square().mean(dim=-1, keepdim=True) + 1e-6).sqrt() * gain


def turned(x_NHK: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    first, second = x_NHK[..., 0::2], x_NHK[..., 1::2]
    out = torch.empty_like(x_NHK)
    out[..., 0::2], out[..., 1::2] = first * cos - second * sin, second * cos + first * sin
    return out


def config(qk_norm: bool = False, dropout: float = 0.0) -> TransformerConfig:
    return TransformerConfig(
        width=WIDTH,
        attention=AttentionConfig(num_heads=HEADS, qk_norm="rms" if qk_norm else None),
        ffn=FeedForwardConfig(width=12),
        residual=ResidualConfig(dropout=dropout),
    )


def build(qk_norm: bool) -> PreNormBlock:
    torch.manual_seed(0)
    block = PreNormBlock(config(qk_norm)).double()
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter)
    return block


@pytest.mark.parametrize("qk_norm", [False, True])
def test_equals_the_formula(qk_norm: bool) -> None:
    block = build(qk_norm)
    offsets = torch.tensor([0, 3, 3, 8])
    generator = torch.Generator().manual_seed(1)
    x_ND = torch.randn(8, WIDTH, dtype=torch.float64, generator=generator)
    position = torch.randint(9, (8, 2), generator=generator)
    cos, sin = AxialRotary(WIDTH // HEADS, 2, base=100.0).double()(position)
    layout = AttentionLayout.build(offsets)

    normed = rms(x_ND, block.attention_norm.weight)
    q, k, v = (normed @ w.T for w in block.attention.qkv.weight.chunk(3))
    q, k, v = (t.view(8, HEADS, WIDTH // HEADS) for t in (q, k, v))
    if block.attention.qk_norm is not None:
        q = rms(q, block.attention.qk_norm.query_gain)
        k = rms(k, block.attention.qk_norm.key_gain)
    q, k = turned(q, cos, sin), turned(k, cos, sin)
    after = (
        x_ND
        + naive_attend(q, k, v, offsets.tolist(), offsets.tolist()).reshape(8, WIDTH)
        @ block.attention.out.weight.T
    )
    gate, up = (rms(after, block.ffn_norm.weight) @ w.T for w in block.ffn.gate_up.weight.chunk(2))
    expected = after + (gate * gate.sigmoid() * up) @ block.ffn.down.weight.T

    torch.testing.assert_close(block(x_ND, LayerContext(layout, (cos, sin))), expected)


def test_gains_start_at_one_and_have_one_dimension() -> None:
    """The model's initialisation and the optimizer's decay take what has more for a matrix."""
    norm = QueryKeyNorm(4, 1e-6)
    assert [p.shape for p in norm.parameters()] == [(4,), (4,)]
    assert all(bool((p == 1).all()) for p in norm.parameters())


def test_dropout_is_on_both_branches() -> None:
    block = PreNormBlock(config(dropout=0.999999)).train()
    x_ND = torch.randn(3, WIDTH)
    cos, sin = AxialRotary(WIDTH // HEADS, 1, base=100.0)(torch.zeros(3, 1, dtype=torch.int64))
    draws = BranchDraws(noise=torch.tensor([1 << 20, -7, 3], dtype=torch.int32))
    context = LayerContext(AttentionLayout.build(torch.tensor([0, 3])), (cos, sin), draws=(draws, draws))
    assert torch.equal(block(x_ND, context), x_ND)
