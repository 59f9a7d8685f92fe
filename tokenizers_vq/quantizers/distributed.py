"""Codebook statistics over all ranks, so that every rank keeps the same codebook; no-ops in a single process."""

from __future__ import annotations

import torch.distributed as dist
from torch import Tensor


def _is_distributed() -> bool:
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def sum_over_ranks(value: Tensor) -> Tensor:
    """Sum of `value` over all ranks, in place."""
    if _is_distributed():
        dist.all_reduce(value)
    return value


def from_first_rank(value: Tensor) -> Tensor:
    """The value that rank 0 holds, in place."""
    if _is_distributed():
        dist.broadcast(value, src=0)
    return value


def mean_over_ranks(total: Tensor, count: Tensor) -> Tensor:
    """`total / count`, both summed over all ranks first; a count below 1 is taken as 1.

    Every rank holds the same value, and the mean over ranks of its gradients (what DistributedDataParallel makes)
    is the gradient that one process with all rows would have.
    """
    if not _is_distributed():
        return total / count.clamp(min=1)
    world_total = sum_over_ranks(total.detach().clone())
    world_count = sum_over_ranks(count.detach().clone()).clamp(min=1)
    return (world_total + (total - total.detach()) * dist.get_world_size()) / world_count


def rank() -> int:
    """Number of this process; 0 where it is alone."""
    return dist.get_rank() if _is_distributed() else 0
