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
