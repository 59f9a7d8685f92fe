"""Attention written one query row and head at a time, in float64."""

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
    bias: Tensor | None = None,
) -> Tensor:
    """Each query row over the key rows of its sample; zeros where it may attend to nothing.

    may_attend(rank of query, rank of key, row of query, row of key), ranks within the sample, where query rows that
    are fewer than the key rows are the sample's last; `bias` (H, N, M) is added to the scores. Key heads may be
    fewer than query heads.
    """
    q, k, v = q.double(), k.double(), v.double()
    rows_out = []
    for b in range(len(cu_q) - 1):
        rows_k = range(cu_k[b], cu_k[b + 1])
        first = len(rows_k) - (cu_q[b + 1] - cu_q[b])
        for i, row in enumerate(range(cu_q[b], cu_q[b + 1]), start=first):
            keys = [r for j, r in enumerate(rows_k) if may_attend(i, j, row, r)]
            heads_out = []
            for head in range(q.shape[1]):
                group = head * k.shape[1] // q.shape[1]
                score = k[keys, group] @ q[row, head] * q.shape[2] ** -0.5
                if bias is not None:
                    score = score + bias[head, row, keys].double()
                heads_out.append(score.softmax(0) @ v[keys, group])
            rows_out.append(torch.stack(heads_out))
    return torch.stack(rows_out) if rows_out else torch.zeros_like(q)
