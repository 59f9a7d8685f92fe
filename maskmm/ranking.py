"""Places of scores inside groups, without a loop over groups."""

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
    order = _ordered(group, score)
    return _since_group_began(torch.arange(group.shape[0], device=group.device), order, group)


def sum_before(group: Tensor, score: Tensor, size: Tensor) -> Tensor:
    """Sum of the sizes of the entries of its group whose scores are lower; of ties, of those that come first.

    With sizes of 1 it is `rank_within`.

    Args:
        group: (n,) int64.
        score: (n,) float.
        size: (n,) int64, at least 0.

    Returns:
        (n,) int64.
    """
    order = _ordered(group, score)
    return _since_group_began(size[order].cumsum(0) - size[order], order, group)


def _ordered(group: Tensor, score: Tensor) -> Tensor:
    """(n,) indices by group, then score."""
    order = torch.argsort(score, stable=True)
    return order[torch.argsort(group[order], stable=True)]


def _since_group_began(total: Tensor, order: Tensor, group: Tensor) -> Tensor:
    """(n,) what an ascending total over the ordered entries grew by in each entry's group, at the entry's place."""
    sorted_group = group[order]
    is_first = torch.ones_like(sorted_group, dtype=torch.bool)
    is_first[1:] = sorted_group[1:] != sorted_group[:-1]
    grown = torch.empty_like(total)
    grown[order] = total - torch.where(is_first, total, 0).cummax(0).values
    return grown
