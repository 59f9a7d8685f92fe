"""Grouped-query attention for kernels that want as many key heads as query heads."""

from __future__ import annotations

from torch import Tensor


def repeat_heads(x_MGK: Tensor, num_heads: int) -> Tensor:
    """(M, G, K) -> (M, H, K): each key head serves H / G neighbouring query heads."""
    groups = x_MGK.shape[1]
    return x_MGK if groups == num_heads else x_MGK.repeat_interleave(num_heads // groups, dim=1)
