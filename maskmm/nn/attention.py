"""One `attend(q, k, v, layout)` for every backend: attention inside each sample of a packed batch, no padding."""

from __future__ import annotations

import torch
from torch import Tensor

from maskmm.nn.backends.base import Call
from maskmm.nn.backends.choice import choose
from maskmm.nn.layout import AttentionLayout, PairBias


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
        layout: offsets and restrictions; with a cache, k and v are the new rows alone.
        backend: "varlen" (torch's packed CUDA kernel, half precision, sm80 and newer), "flash" (the same of the
            flash-attn package), "runs" (one SDPA call for each run of equally long samples), "blocks" (local windows
            in blocks), "flex" (FlexAttention: predicates on CUDA), "dense" (all pairs of a sample: bias, window and
            predicate) or "auto", which logs once what it took and why not what comes before.
        bias: what is added to the scores before the softmax.

    Returns:
        (N, H, K); zeros where a row may attend to nothing.

    Raises:
        ValueError: tensors of other shapes, heads that do not divide, rows that no sample of the layout owns, an
            unknown backend, one that cannot run these tensors, or a bias with a cache.
    """
    _check_shapes(q_NHK, k_MGK, v_MGK)
    if layout.cache is not None:
        if bias is not None:
            raise ValueError(
                "an additive bias with a key/value cache: cached rows have no positions; encode all rows"
            )
        k_MGK, v_MGK = layout.cache.extend(k_MGK, v_MGK)
    q_NHK, k_MGK, v_MGK = _to_autocast_dtype(q_NHK, k_MGK, v_MGK)
    if not torch.compiler.is_compiling():
        layout.check_rows(q_NHK.shape[0], k_MGK.shape[0])
        if not q_NHK.shape[0]:
            return torch.zeros_like(q_NHK)  # packed kernels cannot be started on no rows
    call = Call(
        device_type=q_NHK.device.type,
        dtype=q_NHK.dtype,
        head_width=q_NHK.shape[2],
        needs_grad=torch.is_grad_enabled()
        and (q_NHK.requires_grad or k_MGK.requires_grad or v_MGK.requires_grad),
        has_bias=bias is not None,
        layout=layout,
    )
    return choose(backend, call).attend(q_NHK, k_MGK, v_MGK, layout, bias)


def _check_shapes(q_NHK: Tensor, k_MGK: Tensor, v_MGK: Tensor) -> None:
    if q_NHK.ndim != 3 or k_MGK.shape != v_MGK.shape or q_NHK.shape[2:] != k_MGK.shape[2:]:
        raise ValueError(
            f"q {tuple(q_NHK.shape)}, k {tuple(k_MGK.shape)} and v {tuple(v_MGK.shape)}, expected (N, H, K) and twice "
            "(M, G, K): packed rows, no batch axis"
        )
    if q_NHK.shape[1] % k_MGK.shape[1]:
        raise ValueError(
            f"{q_NHK.shape[1]} query heads over {k_MGK.shape[1]} key heads, expected a whole multiple"
        )


def _to_autocast_dtype(*tensors: Tensor) -> tuple[Tensor, ...]:
    # Under autocast, norms and rotary leave float32; the kernels want what the Linears produce (float64 stays).
    device_type = tensors[0].device.type
    if torch.is_autocast_enabled(device_type) and tensors[0].dtype != torch.float64:
        dtype = torch.get_autocast_dtype(device_type)
        return tuple(t.to(dtype) for t in tensors)
    return tensors
