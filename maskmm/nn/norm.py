"""Norms of rows, computed in float32 or wider whatever the dtype of the stream."""

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
    """torch's, on rows of half precision too."""

    def forward(self, x: Tensor) -> Tensor:
        """(..., width) -> (..., width), float32 for half precision."""
        return super().forward(_wide(x))


class LayerNorm(nn.LayerNorm):
    """torch's, on rows of half precision too."""

    def forward(self, x: Tensor) -> Tensor:
        """(..., width) -> (..., width), float32 for half precision."""
        return super().forward(_wide(x))


def _wide(x: Tensor) -> Tensor:
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
