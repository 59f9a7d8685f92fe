"""Ranks of scores inside groups, without a loop over groups."""

from __future__ import annotations

import torch
from torch import Tensor


def rank_within(group: Tensor, score: Tensor) -> Tensor:
    """0-based rank of each score (ascending) among the entries of its group; ties keep their order.

    Args:
        group: (n,) int64.
        score: (n,) float.

    Returns:
        (n,) int64.
    """
    order = torch.argsort(score, stable=True)
    order = order[torch.argsort(group[order], stable=True)]
    sorted_group = group[order]
    index = torch.arange(group.shape[0], device=group.device)
    is_first = torch.ones_like(sorted_group, dtype=torch.bool)
    is_first[1:] = sorted_group[1:] != sorted_group[:-1]
    rank = torch.empty_like(index)
    rank[order] = index - torch.where(is_first, index, 0).cummax(0).values
    return rank
