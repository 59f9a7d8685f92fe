"""The transformer block: pre-norm attention and gated feed-forward, without biases."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from maskmm.nn.attention import attend
from maskmm.nn.layout import AttentionLayout
from maskmm.nn.rotary import rotate


class Attention(nn.Module):
    """Bidirectional self-attention inside each sample.

    Args:
        width: D.
        num_heads: H, a divisor of width.
        qk_norm: RMS-normalise queries and keys for each head (Dehghani et al., "Scaling ViT to 22B", 2023).
        norm_eps: epsilon of that norm.
    """

    def __init__(self, width: int, num_heads: int, qk_norm: bool, norm_eps: float) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.qk_norm = QueryKeyNorm(width // num_heads, norm_eps) if qk_norm else None

    def forward(self, x_ND: Tensor, layout: AttentionLayout, cos: Tensor, sin: Tensor) -> Tensor:
        """(N, D) -> (N, D)."""
        width = x_ND.shape[1]
        qk, v = self.qkv(x_ND).split([2 * width, width], dim=1)
        qk_NGK = rearrange(qk, "n (g k) -> n g k", g=2 * self.num_heads)
        if self.qk_norm is not None:
            qk_NGK = self.qk_norm(qk_NGK)
        q_NHK, k_NHK = rotate(qk_NGK, cos, sin).chunk(2, dim=1)
        v_NHK = rearrange(v, "n (h k) -> n h k", h=self.num_heads)
        return self.out(rearrange(attend(q_NHK, k_NHK, v_NHK, layout), "n h k -> n (h k)"))


class QueryKeyNorm(nn.Module):
    """RMS norm of each head's queries and keys, with one learned gain for queries and one for keys."""

    def __init__(self, head_width: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        # Vectors, as all gains are: the model starts and the optimizer decays what has two dimensions or more.
        self.query_gain = nn.Parameter(torch.ones(head_width))
        self.key_gain = nn.Parameter(torch.ones(head_width))

    def forward(self, qk_NGK: Tensor) -> Tensor:
        """(N, 2H, K), queries first -> the same shape."""
        normed = F.rms_norm(qk_NGK, qk_NGK.shape[-1:], eps=self.eps)
        q_NHK, k_NHK = normed.chunk(2, dim=1)
        return torch.cat([q_NHK * self.query_gain, k_NHK * self.key_gain], dim=1)


class GatedFeedForward(nn.Module):
    """SwiGLU (Shazeer, "GLU variants improve transformer", 2020)."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.gate_up = nn.Linear(width, 2 * hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, x_ND: Tensor) -> Tensor:
        """(N, D) -> (N, D)."""
        gate, up = self.gate_up(x_ND).chunk(2, dim=-1)
        return self.down(F.silu(gate) * up)


class Block(nn.Module):
    """x + attention(norm(x)), then x + feed-forward(norm(x))."""

    def __init__(
        self, width: int, num_heads: int, ffn_width: int, qk_norm: bool, norm_eps: float, dropout: float
    ) -> None:
        super().__init__()
        self.attention_norm = nn.RMSNorm(width, eps=norm_eps)
        self.attention = Attention(width, num_heads, qk_norm, norm_eps)
        self.ffn_norm = nn.RMSNorm(width, eps=norm_eps)
        self.ffn = GatedFeedForward(width, ffn_width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x_ND: Tensor, layout: AttentionLayout, cos: Tensor, sin: Tensor) -> Tensor:
        """(N, D) -> (N, D)."""
        x_ND = x_ND + self.dropout(self.attention(self.attention_norm(x_ND), layout, cos, sin))
        return x_ND + self.dropout(self.ffn(self.ffn_norm(x_ND)))
