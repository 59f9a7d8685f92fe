"""Norms of rows, computed in the dtype of their weights or a wider one, whatever that of the stream."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from maskmm.nn.config import NormConfig


def build_norm(width: int, config: NormConfig) -> nn.Module:
    """The norm of (..., width) rows that the config names."""
    if config.kind == "rms":
        return RMSNorm(width, eps=config.eps)
    return LayerNorm(width, eps=config.eps, bias=config.has_bias)


class RMSNorm(nn.RMSNorm):
    """torch's, on rows of less precision than its weights too."""

    def forward(self, x: Tensor) -> Tensor:
        """(..., width) -> (..., width), float32 where half-precision rows meet float32 weights."""
        return super().forward(x.to(torch.promote_types(x.dtype, self.weight.dtype)))


class LayerNorm(nn.LayerNorm):
    """torch's, on rows of less precision than its weights too."""

    def forward(self, x: Tensor) -> Tensor:
        """(..., width) -> (..., width), float32 where half-precision rows meet float32 weights."""
        return super().forward(x.to(torch.promote_types(x.dtype, self.weight.dtype)))
