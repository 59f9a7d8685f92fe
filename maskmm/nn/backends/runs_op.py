"""The equal-length runs as one operator, so that torch.compile keeps a packed model in one graph.

Lengths are read from the offsets when the operator runs: batches of other lengths are other data, not other graphs.
Its backward starts from the saved log-sum-exps, as the kernel's own does.
"""

from __future__ import annotations

from typing import Any

import torch
from einops import rearrange
from torch import Tensor

from maskmm.nn.layout import Run, runs_of


@torch.library.custom_op("maskmm::attend_runs", mutates_args=())
def attend_runs_op(q: Tensor, k: Tensor, v: Tensor, cu_q: Tensor, cu_k: Tensor) -> tuple[Tensor, Tensor]:
    """Full attention inside each sample.

    Args:
        q: (N, H, K) float.
        k, v: (M, H, K) float.
        cu_q, cu_k: (B + 1,) offsets; rows past the last one get zeros.

    Returns:
        (N, H, K), and the log-sum-exp of the scores (N, H) float32 (float64 for float64), for the backward.
    """
    out = torch.zeros(q.shape, dtype=q.dtype, device=q.device)
    lse = torch.zeros(q.shape[:2], dtype=_accumulator(q), device=q.device)
    for run, rows_q, rows_k in _parts(cu_q, cu_k):
        q_run, k_run, v_run = _heads_first(run, q[rows_q], k[rows_k], v[rows_k])
        if q.device.type == "cpu":
            part, part_lse = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(q_run, k_run, v_run)
        else:
            part, part_lse = _forward(q_run, k_run, v_run)
        out[rows_q] = rearrange(part, "b h l k -> (b l) h k")
        lse[rows_q] = rearrange(part_lse, "b h l -> (b l) h")
    return out, lse


@attend_runs_op.register_fake
def _(q: Tensor, k: Tensor, v: Tensor, cu_q: Tensor, cu_k: Tensor) -> tuple[Tensor, Tensor]:
    return q.new_empty(q.shape), q.new_empty(q.shape[:2], dtype=_accumulator(q))


@torch.library.custom_op("maskmm::attend_runs_backward", mutates_args=())
def attend_runs_backward_op(
    grad: Tensor, q: Tensor, k: Tensor, v: Tensor, out: Tensor, lse: Tensor, cu_q: Tensor, cu_k: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of q, k and v, with their shapes and dtypes."""
    grads = [torch.zeros(t.shape, dtype=t.dtype, device=t.device) for t in (q, k, v)]
    for run, rows_q, rows_k in _parts(cu_q, cu_k):
        grad_run, out_run, q_run, k_run, v_run = _heads_first(
            run, grad[rows_q], out[rows_q], q[rows_q], k[rows_k], v[rows_k]
        )
        lse_run = rearrange(lse[rows_q], "(b l) h -> b h l", b=run.count)
        if q.device.type == "cpu":
            parts = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward(
                grad_run, q_run, k_run, v_run, out_run, lse_run, 0.0, False
            )
        else:
            parts = _backward(grad_run, q_run, k_run, v_run, out_run, lse_run)
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


def _parts(cu_q: Tensor, cu_k: Tensor) -> list[tuple[Run, slice, slice]]:
    """The runs that have pairs, with their query and key rows."""
    return [
        (
            run,
            slice(run.start_q, run.start_q + run.count * run.length_q),
            slice(run.start_k, run.start_k + run.count * run.length_k),
        )
        for run in runs_of(cu_q.tolist(), cu_k.tolist())
        if run.length_q and run.length_k
    ]


def _heads_first(run: Run, *rows: Tensor) -> list[Tensor]:
    return [rearrange(t, "(b l) h k -> b h l k", b=run.count) for t in rows]


def _accumulator(x: Tensor) -> torch.dtype:
    return torch.promote_types(x.dtype, torch.float32)


def _forward(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Softmax attention written out, (b, H, L, K); scores of the run are materialised."""
    scores = (q @ k.mT).to(_accumulator(q)) * q.shape[-1] ** -0.5
    lse = scores.logsumexp(dim=-1)
    return (scores - lse[..., None]).exp().to(v.dtype) @ v, lse


def _backward(
    grad: Tensor, q: Tensor, k: Tensor, v: Tensor, out: Tensor, lse: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of `_forward` (Dao et al., "FlashAttention", 2022, appendix B.2)."""
    scale = q.shape[-1] ** -0.5
    weights = ((q @ k.mT).to(lse.dtype) * scale - lse[..., None]).exp()
    delta = (grad.to(lse.dtype) * out.to(lse.dtype)).sum(dim=-1, keepdim=True)
    grad_scores = (weights * ((grad @ v.mT).to(lse.dtype) - delta) * scale).to(q.dtype)
    return grad_scores @ k, grad_scores.mT @ q, weights.to(v.dtype).mT @ grad
