"""The fused projection of a row to its queries, keys and values."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from maskmm.nn.config import AttentionConfig
from maskmm.nn.linear import Linear, linear


class QueryValueBias(Linear):
    """Queries, keys and values, where keys have no bias (Bao et al., BEiT, 2022).

    Args:
        width: D.
        query_width: H K.
        key_width: G K.
    """

    def __init__(self, width: int, query_width: int, key_width: int) -> None:
        super().__init__(width, query_width + 2 * key_width, bias=False)
        self.q_bias = nn.Parameter(torch.zeros(query_width))
        self.v_bias = nn.Parameter(torch.zeros(key_width))

    def forward(self, input: Tensor) -> Tensor:
        """(N, D) -> (N, (H + 2 G) K)."""
        return linear(input, self.weight, self.whole_bias())

    def whole_bias(self) -> Tensor:
        """((H + 2 G) K,), zeros for the keys."""
        return torch.cat([self.q_bias, self.v_bias.new_zeros(self.v_bias.shape), self.v_bias])


def build_projection(width: int, head_width: int, config: AttentionConfig) -> nn.Linear:
    """(N, D) -> (N, (H + 2 G) K): all queries, then all keys, then all values."""
    query_width, key_width = config.num_heads * head_width, config.kv_heads * head_width
    if config.qkv_bias == "qv":
        return QueryValueBias(width, query_width, key_width)
    return Linear(width, query_width + 2 * key_width, bias=config.qkv_bias == "all")
