"""Norms of rows."""

from __future__ import annotations

from torch import nn

from maskmm.nn.config import NormConfig


def build_norm(width: int, config: NormConfig) -> nn.Module:
    """The norm of (..., width) rows that the config names."""
    if config.kind == "rms":
        return nn.RMSNorm(width, eps=config.eps)
    return nn.LayerNorm(width, eps=config.eps, bias=config.has_bias)
