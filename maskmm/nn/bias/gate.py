"""Gates of a positional bias by the query's content (Chi et al., XLM-E, 2022; Chen et al., BEATs, 2023).

WavLM's formula is the same, of the layer's input instead of its queries.
"""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor, nn

from maskmm.nn.bias.base import BoundBias


class BiasGate(nn.Module):
    """Multiplies a layer's bias, for each row and head, by a (b c - 1) + 2.

    a and b are sigmoids of linear functions of the row's query before rotation, c is learned for each head.

    Args:
        num_heads: H.
        head_width: K.
    """

    def __init__(self, num_heads: int, head_width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(head_width, 8)
        self.scale = nn.Parameter(torch.ones(num_heads))

    def forward(self, q_NHK: Tensor, bias: BoundBias) -> BoundBias:
        """The bias as the queries gate it."""
        # Eight outputs in two groups of four that are summed: published weights have this shape.
        a_NH, b_NH = (
            rearrange(self.linear(q_NHK), "n h (two four) -> n h two four", two=2)
            .sum(-1)
            .sigmoid()
            .unbind(-1)
        )
        return bias.gated(a_NH * (b_NH * self.scale - 1.0) + 2.0)
