"""Attention written one query at a time, in float64."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def naive_attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    cu_q: list[int],
    cu_k: list[int],
    may_attend: Callable[[int, int, int, int], bool] = lambda i, j, row_q, row_k: True,
) -> Tensor:
    """may_attend(rank of query, rank of key, row of query, row of key), ranks within the sample."""
    q, k, v = q.double(), k.double(), v.double()
    out = torch.zeros(q.shape[0], q.shape[1], v.shape[2], dtype=torch.float64)
    for b in range(len(cu_q) - 1):
        for i, row in enumerate(range(cu_q[b], cu_q[b + 1])):
            keys = [r for j, r in enumerate(range(cu_k[b], cu_k[b + 1])) if may_attend(i, j, row, r)]
            for head in range(q.shape[1]):
                score = torch.stack([(q[row, head] * k[r, head]).sum() for r in keys]) * q.shape[2] ** -0.5
                weight = score.softmax(0)
                out[row, head] = sum(w * v[r, head] for w, r in zip(weight, keys))
    return out
