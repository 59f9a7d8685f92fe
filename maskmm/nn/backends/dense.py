"""Scores of all pairs of a sample, with additive bias, window and predicate; never those of two samples."""

from __future__ import annotations

import torch
from torch import Tensor

from maskmm.nn.backends.base import Backend, Call
from maskmm.nn.backends.masked import masked_attention
from maskmm.nn.backends.runs import for_each_run
from maskmm.nn.layout import AttentionLayout, PairBias, Run

MAX_SCORES = 1 << 25
"""Scores that are held at once: 128 MiB of float32."""


def _obstacle(call: Call) -> str | None:
    return None


def _attend(q: Tensor, k: Tensor, v: Tensor, layout: AttentionLayout, bias: PairBias | None) -> Tensor:
    def attend_run(q: Tensor, k: Tensor, v: Tensor, run: Run) -> Tensor:
        rows_q = _rows(run.start_q, run.count, run.length_q, q)
        rows_k = _rows(run.start_k, run.count, run.length_k, k)
        mask, is_alone = layout.once(
            ("may_attend", layout.window, run), lambda: _may_attend(layout, run, rows_q, rows_k)
        )
        if bias is not None:
            scores = bias(rows_q, rows_k).to(q.dtype)
            mask = scores if mask is None else scores.masked_fill(~mask, -torch.inf)
        out = masked_attention(q, k, v, mask)
        return out if is_alone is None else out.masked_fill(is_alone, 0.0)

    runs = [piece for run in layout.runs for piece in _pieces(run, q.shape[1])]
    return for_each_run(q, k, v, runs, attend_run)


def _pieces(run: Run, num_heads: int) -> list[Run]:
    """The run in parts that do not have more than MAX_SCORES scores; a sample is never cut."""
    size = max(1, MAX_SCORES // max(1, num_heads * run.length_q * run.length_k))
    return [
        Run(
            run.start_q + first * run.length_q,
            run.start_k + first * run.length_k,
            min(size, run.count - first),
            run.length_q,
            run.length_k,
        )
        for first in range(0, run.count, size)
    ]


def _rows(start: int, count: int, length: int, like: Tensor) -> Tensor:
    """(count, length) row numbers."""
    return torch.arange(start, start + count * length, device=like.device).view(count, length)


def _may_attend(
    layout: AttentionLayout, run: Run, rows_q: Tensor, rows_k: Tensor
) -> tuple[Tensor | None, Tensor | None]:
    """Which pairs of a run may attend (b, 1, Lq, Lk), None = all; which rows to nothing (b, 1, Lq, 1), None = none.

    Rows that may attend to nothing are given every key: a softmax over nothing is NaN in some kernels, and so is
    its gradient.
    """
    if layout.window is None and layout.predicate is None:
        return None, None
    device = rows_q.device
    is_allowed = torch.ones(1, 1, run.length_q, run.length_k, dtype=torch.bool, device=device)
    if layout.window is not None:
        rank_q = torch.arange(run.length_k - run.length_q, run.length_k, device=device)
        rank_k = torch.arange(run.length_k, device=device)
        is_allowed = is_allowed & ((rank_q[:, None] - rank_k).abs() <= layout.window)
    if layout.predicate is not None:
        is_allowed = is_allowed & layout.predicate(rows_q[:, None, :, None], rows_k[:, None, None, :])
    elif layout.is_self_attention:
        return is_allowed, None
    is_alone = ~is_allowed.any(dim=3, keepdim=True)
    return is_allowed | is_alone, is_alone


DENSE = Backend("dense", _obstacle, _attend)
