"""Self-attention of a block: projections, query-key norm, rotary turns, positional bias, output."""

from __future__ import annotations

from einops import rearrange
from torch import Tensor

from maskmm.nn.attention import attend
from maskmm.nn.bias.base import BoundBias
from maskmm.nn.bias.gate import BiasGate
from maskmm.nn.context import LayerContext
from maskmm.nn.layout import AttentionLayout
from maskmm.nn.linear import Linear
from maskmm.nn.mixer import Mixer
from maskmm.nn.projection import build_projection
from maskmm.nn.query_key_norm import QueryKeyNorm
from maskmm.nn.rotary import rotate
from maskmm.nn.transformer_config import TransformerConfig

_ROWS_THAT_PAY = 128
"""Mean rows of a sample from which on a CPU answers for fewer queries sample by sample."""


class Attention(Mixer):
    """Bidirectional self-attention inside each sample.

    Args:
        config: of the whole model.
    """

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        options, head_width = config.attention, config.head_width
        self.num_heads, self.kv_heads = options.num_heads, options.kv_heads
        self.pairing = config.positions.pairing
        self.qkv = build_projection(config.width, head_width, options)
        self.out = Linear(options.num_heads * head_width, config.width, bias=options.has_out_bias)
        self.qk_norm = (
            None if options.qk_norm is None else QueryKeyNorm(head_width, config.norm.eps, options.qk_norm)
        )
        is_gated = config.positions.bias == "gated_bucketed"
        self.gate = BiasGate(options.num_heads, head_width) if is_gated else None

    def forward(self, x_ND: Tensor, context: LayerContext) -> Tensor:
        """(N, D) -> (N, D)."""
        q_NHK, k_NGK, v_NGK, bias = self._heads(x_ND, context)
        out_NHK = attend(q_NHK, k_NGK, v_NGK, context.layout, bias=bias)
        return self.out(rearrange(out_NHK, "n h k -> n (h k)"))

    def answer(self, x_ND: Tensor, context: LayerContext) -> Tensor:
        """See `Mixer.answer`: queries of the asked rows alone where that pays, else their outputs."""
        asked = context.asked
        if asked is None:
            return self(x_ND, context)
        q_NHK, k_NGK, v_NGK, bias = self._heads(x_ND, context)
        if _does_asking_pay(q_NHK, context.layout, bias):
            layout = context.layout.asking(asked.cu_seqlens)
            out_RHK = attend(q_NHK[asked.index], k_NGK, v_NGK, layout)
        else:
            out_RHK = attend(q_NHK, k_NGK, v_NGK, context.layout, bias=bias)[asked.index]
        return self.out(rearrange(out_RHK, "n h k -> n (h k)"))

    def _heads(self, x_ND: Tensor, context: LayerContext) -> tuple[Tensor, Tensor, Tensor, BoundBias | None]:
        """Queries (N, H, K), keys and values (N, G, K), and what is added to scores."""
        qkv_NJK = rearrange(self.qkv(x_ND), "n (j k) -> n j k", j=self.num_heads + 2 * self.kv_heads)
        qk_NJK, v_NGK = qkv_NJK.split([self.num_heads + self.kv_heads, self.kv_heads], dim=1)
        bias = context.bias
        if self.gate is not None and bias is not None:
            bias = self.gate(qk_NJK[:, : self.num_heads], bias)
        if self.qk_norm is not None:
            qk_NJK = self.qk_norm(qk_NJK, self.num_heads)
        if context.angles is not None:
            qk_NJK = rotate(qk_NJK, *context.angles, self.pairing)
        q_NHK, k_NGK = qk_NJK.split([self.num_heads, self.kv_heads], dim=1)
        return q_NHK, k_NGK, v_NGK, bias


def _does_asking_pay(q_NHK: Tensor, layout: AttentionLayout, bias: BoundBias | None) -> bool:
    """Whether fewer queries make attention faster, and row numbers and distances are not asked for."""
    if (
        bias is not None
        or layout.window is not None
        or layout.predicate is not None
        or layout.cache is not None
    ):
        return False
    # Samples of one length ask different numbers of rows: without a packed kernel each is a call of its own.
    return q_NHK.device.type == "cuda" or q_NHK.shape[0] >= _ROWS_THAT_PAY * (layout.cu_q.shape[0] - 1)
