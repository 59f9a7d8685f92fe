"""One `attend(q, k, v, layout)` for every backend: attention inside each sample of a packed batch, no padding."""

from __future__ import annotations

import logging
from functools import cache

import torch
from torch import Tensor

from maskmm.nn.backends.dense import attend_dense
from maskmm.nn.backends.runs import attend_runs
from maskmm.nn.backends.varlen import attend_varlen, varlen_obstacle
from maskmm.nn.layout import AttentionLayout, PairBias

_log = logging.getLogger(__name__)

BACKENDS = ("auto", "varlen", "runs", "dense")


def attend(
    q_NHK: Tensor,
    k_MGK: Tensor,
    v_MGK: Tensor,
    layout: AttentionLayout,
    backend: str = "auto",
    bias: PairBias | None = None,
) -> Tensor:
    """Softmax attention, each query row over the key rows of its own sample.

    Args:
        q_NHK: (N, H, K) float query rows.
        k_MGK, v_MGK: (M, G, K) float key and value rows; H is a multiple of G (grouped-query attention, Ainslie et
            al., "GQA", 2023): key head g serves query heads g H / G to (g + 1) H / G - 1.
        layout: offsets and restrictions.
        backend: "varlen" (torch's packed CUDA kernel, half precision, sm80 and newer), "runs" (one SDPA call for
            each run of equally long samples; any device and dtype), "dense" (all pairs of a sample: bias, window and
            predicate) or "auto".
        bias: what is added to the scores before the softmax.

    Returns:
        (N, H, K); zeros where a row may attend to nothing.

    Raises:
        ValueError: heads that do not divide, an unknown backend, or one that cannot run these tensors.
    """
    if q_NHK.shape[1] % k_MGK.shape[1]:
        raise ValueError(
            f"{q_NHK.shape[1]} query heads over {k_MGK.shape[1]} key heads, expected a whole multiple"
        )
    q_NHK, k_MGK, v_MGK = _to_autocast_dtype(q_NHK, k_MGK, v_MGK)
    if backend == "auto":
        backend = choose_backend(q_NHK.device.type, q_NHK.dtype, layout, has_bias=bias is not None)
    if backend == "dense":
        return attend_dense(q_NHK, k_MGK, v_MGK, layout, bias)
    if bias is not None:
        raise ValueError(f"backend {backend!r} has no additive bias; use 'dense' or 'auto'")
    if backend == "varlen":
        why_not = varlen_obstacle(q_NHK.device.type, q_NHK.dtype)
        if why_not is not None or layout.predicate is not None:
            raise ValueError(
                f"backend 'varlen' cannot run here: {why_not or 'the layout has a predicate'}; use 'auto'"
            )
        return attend_varlen(q_NHK, k_MGK, v_MGK, layout)
    if backend == "runs":
        if layout.predicate is not None or layout.window is not None:
            raise ValueError("backend 'runs' has no window and no predicate; use 'dense' or 'auto'")
        return attend_runs(q_NHK, k_MGK, v_MGK, layout)
    raise ValueError(f"attention backend {backend!r}, expected one of {BACKENDS}")


def choose_backend(
    device_type: str, dtype: torch.dtype, layout: AttentionLayout, has_bias: bool = False
) -> str:
    """The backend that "auto" takes; the choice and its reason are logged once."""
    why_not = varlen_obstacle(device_type, dtype)
    if why_not is None and (layout.predicate is not None or has_bias):
        why_not = "the layout has a predicate" if layout.predicate is not None else "there is a bias"
    is_whole = layout.window is None and layout.predicate is None and not has_bias
    choice = "varlen" if why_not is None else "runs" if is_whole else "dense"
    _log_choice(choice, why_not)
    return choice


@cache
def _log_choice(choice: str, why_not: str | None) -> None:
    _log.info("attention backend: %s%s", choice, f" (varlen not used: {why_not})" if why_not else "")


def _to_autocast_dtype(*tensors: Tensor) -> tuple[Tensor, ...]:
    # Under autocast, norms and rotary leave float32; the kernels want what the Linears produce.
    device_type = tensors[0].device.type
    if torch.is_autocast_enabled(device_type):
        dtype = torch.get_autocast_dtype(device_type)
        return tuple(t.to(dtype) for t in tensors)
    return tensors
