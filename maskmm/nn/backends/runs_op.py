"""The equal-length runs as one operator, so that torch.compile keeps a packed model in one graph.

Lengths are read from the offsets when the operator runs: batches of other lengths are other data, not other graphs. The
offsets are best given in the host's memory (`AttentionLayout.on_host`): copied there once a graph, they cost CUDA one
sync, as in eager attention, and none in the backward. In half precision "varlen" comes first there, which takes them as
they are.
Its backward starts from the saved log-sum-exps, as the kernel's own does.
"""

from __future__ import annotations

from typing import Any

import torch
from einops import rearrange
from torch import Tensor

from maskmm.nn.backends import written_out
from maskmm.nn.backends.pieces import heads_first, pieces_of, slices
from maskmm.nn.backends.written_out import accumulator
from maskmm.nn.layout import Run, runs_of


@torch.library.custom_op("maskmm::attend_runs", mutates_args=(), tags=(torch.Tag.cudagraph_unsafe,))
def attend_runs_op(q: Tensor, k: Tensor, v: Tensor, cu_q: Tensor, cu_k: Tensor) -> tuple[Tensor, Tensor]:
    """Full attention inside each sample.

    Args:
        q: (N, H, K) float.
        k, v: (M, H, K) float.
        cu_q, cu_k: (B + 1,) offsets, best in the host's memory; rows past the last one get zeros.

    Returns:
        (N, H, K), and the log-sum-exp of the scores (N, H) float32 (float64 for float64), for the backward.
    """
    out = torch.zeros(q.shape, dtype=q.dtype, device=q.device)
    lse = torch.zeros(q.shape[:2], dtype=accumulator(q), device=q.device)
    for run in _runs(q, cu_q, cu_k):
        rows_q, rows_k = slices(run)
        q_run, k_run, v_run = heads_first(run, q[rows_q], k[rows_k], v[rows_k])
        if q.device.type == "cpu":
            part, part_lse = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(q_run, k_run, v_run)
        else:
            part, part_lse = written_out.forward(q_run, k_run, v_run)
        out[rows_q] = rearrange(part, "b h l k -> (b l) h k")
        lse[rows_q] = rearrange(part_lse, "b h l -> (b l) h")
    return out, lse


@attend_runs_op.register_fake
def _(q: Tensor, k: Tensor, v: Tensor, cu_q: Tensor, cu_k: Tensor) -> tuple[Tensor, Tensor]:
    return q.new_empty(q.shape), q.new_empty(q.shape[:2], dtype=accumulator(q))


@torch.library.custom_op("maskmm::attend_runs_backward", mutates_args=(), tags=(torch.Tag.cudagraph_unsafe,))
def attend_runs_backward_op(
    grad: Tensor, q: Tensor, k: Tensor, v: Tensor, out: Tensor, lse: Tensor, cu_q: Tensor, cu_k: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of q, k and v, with their shapes and dtypes."""
    grads = [torch.zeros(t.shape, dtype=t.dtype, device=t.device) for t in (q, k, v)]
    for run in _runs(q, cu_q, cu_k):
        rows_q, rows_k = slices(run)
        grad_run, out_run, q_run, k_run, v_run = heads_first(
            run, grad[rows_q], out[rows_q], q[rows_q], k[rows_k], v[rows_k]
        )
        lse_run = rearrange(lse[rows_q], "(b l) h -> b h l", b=run.count)
        if q.device.type == "cpu":
            parts = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward(
                grad_run, q_run, k_run, v_run, out_run, lse_run, 0.0, False
            )
        else:
            *parts, _ = written_out.backward(grad_run, q_run, k_run, v_run, out_run, lse_run)
        for whole, rows, part in zip(grads, (rows_q, rows_k, rows_k), parts):
            whole[rows] = rearrange(part, "b h l k -> (b l) h k")
    return grads[0], grads[1], grads[2]


@attend_runs_backward_op.register_fake
def _(
    grad: Tensor, q: Tensor, k: Tensor, v: Tensor, out: Tensor, lse: Tensor, cu_q: Tensor, cu_k: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    return q.new_empty(q.shape), k.new_empty(k.shape), v.new_empty(v.shape)


def _save(ctx: Any, inputs: tuple[Tensor, ...], output: tuple[Tensor, Tensor]) -> None:
    q, k, v, cu_q, cu_k = inputs
    ctx.save_for_backward(q, k, v, *output, cu_q, cu_k)


def _differentiate(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
    q, k, v, out, lse, cu_q, cu_k = ctx.saved_tensors
    return *attend_runs_backward_op(grad, q, k, v, out, lse, cu_q, cu_k), None, None


attend_runs_op.register_autograd(_differentiate, setup_context=_save)


def _runs(q: Tensor, cu_q: Tensor, cu_k: Tensor) -> list[Run]:
    """The runs that have pairs; in pieces where their scores are materialised."""
    runs = [run for run in runs_of(cu_q.tolist(), cu_k.tolist()) if run.length_q and run.length_k]
    if q.device.type == "cpu":
        return runs
    return [piece for run in runs for piece in pieces_of(run, q.shape[1])]
