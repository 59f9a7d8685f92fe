"""From continuous inputs (pixel and filter-bank patches, frozen embeddings) to rows."""

from __future__ import annotations

from torch import nn

from maskmm.nn.linear import Linear
from maskmm.nn.norm import LayerNorm


def build_input_projection(channels: int, width: int, hidden: int | None) -> nn.Module:
    """(n, channels) -> (n, width): one Linear, or Linear (no bias), LayerNorm, Linear with `hidden` between (BEATs)."""
    if hidden is None:
        return Linear(channels, width)
    return nn.Sequential(Linear(channels, hidden, bias=False), LayerNorm(hidden), Linear(hidden, width))
