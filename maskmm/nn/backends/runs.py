"""One SDPA call for each run of equally long samples; any device and dtype."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from einops import rearrange
from torch import Tensor

from maskmm.nn.backends.base import Backend, Call, plain_obstacle
from maskmm.nn.backends.heads import repeat_heads
from maskmm.nn.backends.masked import masked_attention
from maskmm.nn.backends.runs_op import attend_runs_op
from maskmm.nn.layout import AttentionLayout, PairBias, Run

RunAttention = Callable[[Tensor, Tensor, Tensor, Run], Tensor]
"""(query (b, H, Lq, K), key (b, H, Lk, K), value, run) -> (b, H, Lq, K)."""


def _obstacle(call: Call) -> str | None:
    return plain_obstacle(call) or ("the layout has a window" if call.layout.window is not None else None)


def _attend(q: Tensor, k: Tensor, v: Tensor, layout: AttentionLayout, bias: PairBias | None) -> Tensor:
    if torch.compiler.is_compiling():
        k, v = repeat_heads(k, q.shape[1]), repeat_heads(v, q.shape[1])
        return attend_runs_op(q, k, v, *layout.on_host)[0]
    return for_each_run(
        q,
        k,
        v,
        layout.runs,
        lambda q_run, k_run, v_run, _: masked_attention(q_run, k_run, v_run, None),
    )


def for_each_run(q: Tensor, k: Tensor, v: Tensor, runs: Sequence[Run], attend_run: RunAttention) -> Tensor:
    """`attend_run` on every run, which together cover the rows; those of samples without keys get zeros."""
    sizes_q = [run.count * run.length_q for run in runs]
    sizes_k = [run.count * run.length_k for run in runs]
    k, v = repeat_heads(k, q.shape[1]), repeat_heads(v, q.shape[1])
    outputs = []
    # split, not slices: the backward of a slice writes a full-size gradient for every run.
    for run, q_run, k_run, v_run in zip(runs, q.split(sizes_q), k.split(sizes_k), v.split(sizes_k)):
        if not run.length_q:
            continue
        if not run.length_k:
            outputs.append(torch.zeros_like(q_run))
            continue
        q_BHLK, k_BHLK, v_BHLK = (
            rearrange(t, "(b l) h k -> b h l k", b=run.count) for t in (q_run, k_run, v_run)
        )
        outputs.append(rearrange(attend_run(q_BHLK, k_BHLK, v_BHLK, run), "b h l k -> (b l) h k"))
    if len(outputs) == 1:
        return outputs[0]
    return torch.cat(outputs) if outputs else torch.zeros_like(q)


RUNS = Backend("runs", _obstacle, _attend)
