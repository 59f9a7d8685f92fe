"""One `attend(q, k, v, layout)` for every backend: attention inside each sample of a packed batch, no padding."""

from __future__ import annotations

import inspect
import logging
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from maskmm.nn.layout import AttentionLayout, Run, may_attend

_log = logging.getLogger(__name__)

BACKENDS = ("auto", "varlen", "runs")


def attend(
    q_NHK: Tensor, k_MHK: Tensor, v_MHK: Tensor, layout: AttentionLayout, backend: str = "auto"
) -> Tensor:
    """Softmax attention, each query row over the key rows of its own sample.

    Args:
        q_NHK: (N, H, K) float query rows.
        k_MHK, v_MHK: (M, H, K) float key and value rows.
        layout: offsets and restrictions.
        backend: "varlen" (torch's packed CUDA kernel, half precision, sm80 and newer), "runs" (one SDPA call for
            each run of equally long samples; any device and dtype) or "auto".

    Returns:
        (N, H, K).

    Raises:
        ValueError: an unknown backend, or one that cannot run these tensors.
    """
    q_NHK, k_MHK, v_MHK = _to_autocast_dtype(q_NHK, k_MHK, v_MHK)
    if backend == "auto":
        backend = choose_backend(q_NHK.device.type, q_NHK.dtype, layout)
    if backend == "varlen":
        return _attend_varlen(q_NHK, k_MHK, v_MHK, layout)
    if backend == "runs":
        return _attend_runs(q_NHK, k_MHK, v_MHK, layout)
    raise ValueError(f"attention backend {backend!r}, expected one of {BACKENDS}")


def choose_backend(device_type: str, dtype: torch.dtype, layout: AttentionLayout) -> str:
    """The backend that "auto" takes; the choice and its reason are logged once."""
    why_not = varlen_obstacle(device_type, dtype)
    if why_not is None and layout.predicate is not None:
        why_not = "the layout has a predicate"
    choice = "varlen" if why_not is None else "runs"
    _log_choice(choice, why_not)
    return choice


@cache
def _log_choice(choice: str, why_not: str | None) -> None:
    _log.info("attention backend: %s%s", choice, f" (varlen not used: {why_not})" if why_not else "")


@cache
def varlen_obstacle(device_type: str, dtype: torch.dtype) -> str | None:
    """Why torch's varlen kernel cannot run these tensors; None where it can."""
    if device_type != "cuda":
        return f"device {device_type} has no varlen kernel"
    if dtype not in (torch.float16, torch.bfloat16):
        return f"dtype {dtype}, the kernel takes float16 or bfloat16"
    if torch.cuda.get_device_capability() < (8, 0):
        return "the GPU is older than sm80"
    return None


def _to_autocast_dtype(*tensors: Tensor) -> tuple[Tensor, ...]:
    # Under autocast, norms and rotary leave float32; the kernels want what the Linears produce.
    device_type = tensors[0].device.type
    if torch.is_autocast_enabled(device_type):
        dtype = torch.get_autocast_dtype(device_type)
        return tuple(t.to(dtype) for t in tensors)
    return tensors


def _attend_varlen(q: Tensor, k: Tensor, v: Tensor, layout: AttentionLayout) -> Tensor:
    why_not = varlen_obstacle(q.device.type, q.dtype)
    if why_not is not None or layout.predicate is not None:
        raise ValueError(
            f"backend 'varlen' cannot run here: {why_not or 'the layout has a predicate'}; use 'auto'"
        )
    from torch.nn.attention.varlen import varlen_attn

    # The cuDNN kernel was wrong on rows that are not 16-byte aligned (views of a fused projection), and rows past
    # the last offset get NaN gradients: contiguous inputs and full cover guard against both.
    q, k, v = (t.contiguous() for t in (q, k, v))
    options: dict[str, Any] = {}
    if layout.window is not None and "window_size" in inspect.signature(varlen_attn).parameters:
        options["window_size"] = (layout.window, layout.window)
    if layout.window is not None and not options:
        raise ValueError(
            f"window={layout.window}: this torch ({torch.__version__}) has no windows in varlen_attn"
        )
    out = varlen_attn(q, k, v, layout.cu_q, layout.cu_k, layout.max_q, layout.max_k, **options)
    return out[0] if isinstance(out, tuple) else out


def _attend_runs(q: Tensor, k: Tensor, v: Tensor, layout: AttentionLayout) -> Tensor:
    if layout.runs is None:
        raise ValueError("backend 'runs' needs a layout built with needs_runs=True")
    # split, not slices: the backward of a slice writes a full-size gradient for every run.
    sizes_q = [run.count * run.length_q for run in layout.runs]
    sizes_k = [run.count * run.length_k for run in layout.runs]
    outputs = []
    for run, q_run, k_run, v_run in zip(layout.runs, q.split(sizes_q), k.split(sizes_k), v.split(sizes_k)):
        q_BHLK, k_BHLK, v_BHLK = (
            rearrange(t, "(b l) h k -> b h l k", b=run.count) for t in (q_run, k_run, v_run)
        )
        out_BHLK = F.scaled_dot_product_attention(q_BHLK, k_BHLK, v_BHLK, attn_mask=_run_mask(layout, run))
        outputs.append(rearrange(out_BHLK, "b h l k -> (b l) h k"))
    if not outputs:
        return torch.zeros_like(q)
    return torch.cat(outputs)


def _run_mask(layout: AttentionLayout, run: Run) -> Tensor | None:
    if layout.window is None and layout.predicate is None:
        return None
    masks = [
        may_attend(
            layout,
            run.start_q + i * run.length_q,
            run.length_q,
            run.start_k + i * run.length_k,
            run.length_k,
        )
        for i in range(run.count)
    ]
    return torch.stack([m for m in masks if m is not None])[:, None]
