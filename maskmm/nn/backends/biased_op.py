"""Attention with a positional bias inside each sample as one operator, so that torch.compile keeps one graph.

As in `runs_op`, lengths are read from offsets in the host's memory when the operator runs. The bias comes in parts
(`BoundBias`); its values are there for one run of equally long samples at a time, in the forward and again in the
backward.
"""

from __future__ import annotations

from typing import Any

import torch
from einops import rearrange
from torch import Tensor

from maskmm.nn.backends import written_out
from maskmm.nn.backends.heads import repeat_heads
from maskmm.nn.backends.pieces import heads_first, pieces_of, row_numbers, slices
from maskmm.nn.bias.base import BoundBias, formula_of, gate_of_pairs
from maskmm.nn.layout import AttentionLayout, Run, runs_of


def attend_biased(q: Tensor, k: Tensor, v: Tensor, layout: AttentionLayout, bias: BoundBias) -> Tensor:
    """Self-attention of a layout without a predicate; (N, H, K) and twice (N, G, K) -> (N, H, K)."""
    k, v = repeat_heads(k, q.shape[1]), repeat_heads(v, q.shape[1])
    parts = (bias.place, bias.table, bias.gate, bias.formula, list(bias.numbers))
    return attend_biased_op(q, k, v, layout.on_host[0], *parts, layout.window)[0]


@torch.library.custom_op("maskmm::attend_biased", mutates_args=(), tags=(torch.Tag.cudagraph_unsafe,))
def attend_biased_op(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    offsets: Tensor,
    place: Tensor,
    table: Tensor,
    gate: Tensor | None,
    formula: str,
    numbers: list[int],
    window: int | None,
) -> tuple[Tensor, Tensor]:
    """Self-attention with a bias.

    Args:
        q, k, v: (N, H, K) float.
        offsets: (B + 1,) of the samples, best in the host's memory; rows past the last one get zeros.
        place, table, gate, formula, numbers: see `BoundBias`.
        window: see `AttentionLayout`.

    Returns:
        (N, H, K), and the log-sum-exp of the scores (N, H), float32 (float64 for float64), for the backward.
    """
    bias = BoundBias(formula, place, table, tuple(numbers), gate)
    out = torch.zeros(q.shape, dtype=q.dtype, device=q.device)
    lse = torch.zeros(q.shape[:2], dtype=written_out.accumulator(q), device=q.device)
    for run in _pieces(offsets, q.shape[1]):
        rows, _ = slices(run)
        values = _within(window, bias(*row_numbers(run, q.device)))
        q_run, k_run, v_run = heads_first(run, q[rows], k[rows], v[rows])
        part, part_lse = _forward(q_run, k_run, v_run, values)
        out[rows] = rearrange(part, "b h l k -> (b l) h k")
        lse[rows] = rearrange(part_lse, "b h l -> (b l) h")
    return out, lse


@attend_biased_op.register_fake
def _(q: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
    return q.new_empty(q.shape), q.new_empty(q.shape[:2], dtype=written_out.accumulator(q))


@torch.library.custom_op(
    "maskmm::attend_biased_backward", mutates_args=(), tags=(torch.Tag.cudagraph_unsafe,)
)
def attend_biased_backward_op(
    grad: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    out: Tensor,
    lse: Tensor,
    offsets: Tensor,
    place: Tensor,
    table: Tensor,
    gate: Tensor | None,
    formula: str,
    numbers: list[int],
    window: int | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Gradients of q, k, v, table and gate (of no rows where there is none)."""
    ungated, cls = BoundBias(formula, place, table, tuple(numbers)), formula_of(formula)
    grads = [torch.zeros(t.shape, dtype=t.dtype, device=t.device) for t in (q, k, v)]
    grad_table = torch.zeros(table.shape, dtype=lse.dtype, device=table.device)
    grad_gate = torch.zeros(_gate_shape(gate), dtype=lse.dtype, device=table.device)
    for run in _pieces(offsets, q.shape[1]):
        rows, _ = slices(run)
        numbers_q, numbers_k = row_numbers(run, q.device)
        values = ungated(numbers_q, numbers_k)
        factor = None if gate is None else gate_of_pairs(gate, numbers_q)
        whole = _within(window, values if factor is None else factor * values)
        grad_run, q_run, k_run, v_run, out_run = heads_first(
            run, grad[rows], q[rows], k[rows], v[rows], out[rows]
        )
        lse_run = rearrange(lse[rows], "(b l) h -> b h l", b=run.count)
        *parts, grad_values = written_out.backward(grad_run, q_run, k_run, v_run, out_run, lse_run, whole)
        for total, part in zip(grads, parts):
            total[rows] = rearrange(part, "b h l k -> (b l) h k")
        if factor is not None:
            grad_gate[rows] = rearrange((grad_values * values).sum(dim=-1), "b h l -> (b l) h")
            grad_values = grad_values * factor
        places = place[numbers_q], place[numbers_k]
        grad_table += cls.table_gradient(grad_values, *places, table, numbers)
    dtype = table.dtype if gate is None else gate.dtype
    return grads[0], grads[1], grads[2], grad_table.to(table.dtype), grad_gate.to(dtype)


@attend_biased_backward_op.register_fake
def _(
    grad: Tensor, q: Tensor, k: Tensor, v: Tensor, out: Tensor, lse: Tensor, offsets: Tensor, place: Tensor,
    table: Tensor, gate: Tensor | None, *_: Any,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    whole = [t.new_empty(t.shape) for t in (q, k, v, table)]
    return *whole, (table if gate is None else gate).new_empty(_gate_shape(gate))  # type: ignore[return-value]


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    q, k, v, offsets, place, table, gate, *ctx.constants = inputs
    ctx.save_for_backward(q, k, v, *output, offsets, place, table, gate)


def _differentiate(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
    gate = ctx.saved_tensors[-1]
    *qkv, table, grad_gate = attend_biased_backward_op(grad, *ctx.saved_tensors, *ctx.constants)
    return *qkv, None, None, table, None if gate is None else grad_gate, None, None, None


attend_biased_op.register_autograd(_differentiate, setup_context=_save)


def _forward(q: Tensor, k: Tensor, v: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """(b, H, L, K) and the log-sum-exps (b, H, L); the CPU's kernel keeps no scores."""
    if q.device.type != "cpu":
        return written_out.forward(q, k, v, values)
    kernel = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    return kernel(q, k, v, attn_mask=values.to(q.dtype))


def _pieces(offsets: Tensor, num_heads: int) -> list[Run]:
    lengths = offsets.tolist()
    return [piece for run in runs_of(lengths, lengths) for piece in pieces_of(run, num_heads)]


def _within(window: int | None, values: Tensor) -> Tensor:
    """(b, H, L, L), -inf where a pair is further apart than the window."""
    if window is None:
        return values
    rank = torch.arange(values.shape[-1], device=values.device)
    return values.masked_fill((rank[:, None] - rank).abs() > window, -torch.inf)


def _gate_shape(gate: Tensor | None) -> tuple[int, ...]:
    return (0,) if gate is None else tuple(gate.shape)
