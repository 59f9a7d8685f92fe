"""Scores of all pairs of a sample, with additive bias, window and predicate; never those of two samples."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from maskmm.nn.backends.runs import for_each_run
from maskmm.nn.layout import AttentionLayout, PairBias, Run


def attend_dense(
    q: Tensor, k: Tensor, v: Tensor, layout: AttentionLayout, bias: PairBias | None = None
) -> Tensor:
    """(N, H, K), (M, G, K), (M, G, K) -> (N, H, K); a row that may attend to nothing gets zeros."""

    def attend_run(q: Tensor, k: Tensor, v: Tensor, run: Run) -> Tensor:
        rows_q, rows_k = (
            _rows(run.start_q, run.count, run.length_q, q),
            _rows(run.start_k, run.count, run.length_k, k),
        )
        allowed = layout.once(
            ("may_attend", layout.window, run), lambda: may_attend(layout, run, rows_q, rows_k)
        )
        mask, is_alone = allowed if allowed is not None else (None, None)
        if bias is not None:
            scores = bias(rows_q, rows_k).to(q.dtype)
            mask = scores if mask is None else scores.masked_fill(~mask, -torch.inf)
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return out if is_alone is None else out.masked_fill(is_alone, 0.0)

    return for_each_run(q, k, v, layout, attend_run)


def _rows(start: int, count: int, length: int, like: Tensor) -> Tensor:
    """(count, length) row numbers."""
    return torch.arange(start, start + count * length, device=like.device).view(count, length)


def may_attend(
    layout: AttentionLayout, run: Run, rows_q: Tensor, rows_k: Tensor
) -> tuple[Tensor, Tensor] | None:
    """Which pairs of a run may attend (b, 1, Lq, Lk), and which rows to none (b, 1, Lq, 1); None = all may.

    Rows that may attend to none are given every key, as a softmax over nothing is NaN in some kernels.
    """
    if layout.window is None and layout.predicate is None:
        return None
    is_allowed = torch.ones(run.count, 1, run.length_q, run.length_k, dtype=torch.bool, device=rows_q.device)
    if layout.window is not None:
        rank_q = torch.arange(run.length_k - run.length_q, run.length_k, device=rows_q.device)
        rank_k = torch.arange(run.length_k, device=rows_q.device)
        is_allowed = is_allowed & ((rank_q[:, None] - rank_k).abs() <= layout.window)
    if layout.predicate is not None:
        is_allowed = is_allowed & layout.predicate(rows_q[:, None, :, None], rows_k[:, None, None, :])
    is_alone = ~is_allowed.any(dim=3, keepdim=True)
    return is_allowed | is_alone, is_alone
