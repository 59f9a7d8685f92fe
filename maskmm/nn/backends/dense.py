"""Scores of all pairs of a sample, with additive bias, window and predicate; never those of two samples."""

from __future__ import annotations

import torch
from torch import Tensor

from maskmm.nn.backends.base import Backend, Call
from maskmm.nn.backends.biased_op import attend_biased
from maskmm.nn.backends.masked import masked_attention
from maskmm.nn.backends.pieces import pieces_of, row_numbers
from maskmm.nn.backends.runs import for_each_run
from maskmm.nn.bias.base import BoundBias
from maskmm.nn.layout import AttentionLayout, PairBias, Run


def _obstacle(call: Call) -> str | None:
    return None


def _attend(q: Tensor, k: Tensor, v: Tensor, layout: AttentionLayout, bias: PairBias | None) -> Tensor:
    if torch.compiler.is_compiling() and isinstance(bias, BoundBias) and _has_operator(layout):
        return attend_biased(q, k, v, layout, bias)

    def attend_run(q: Tensor, k: Tensor, v: Tensor, run: Run) -> Tensor:
        rows_q, rows_k = row_numbers(run, q.device)
        mask, is_alone = layout.once(
            ("may_attend", layout.window, run), lambda: _may_attend(layout, run, rows_q, rows_k)
        )
        if bias is not None:
            scores = bias(rows_q, rows_k).to(q.dtype)
            mask = scores if mask is None else scores.masked_fill(~mask, -torch.inf)
        out = masked_attention(q, k, v, mask)
        return out if is_alone is None else out.masked_fill(is_alone, 0.0)

    runs = [piece for run in layout.runs for piece in pieces_of(run, q.shape[1])]
    return for_each_run(q, k, v, runs, attend_run)


def _has_operator(layout: AttentionLayout) -> bool:
    return layout.is_self_attention and layout.predicate is None


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
