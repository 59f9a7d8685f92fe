"""Torch's packed CUDA kernel (torch.nn.attention.varlen), half precision, sm80 and newer."""

from __future__ import annotations

import inspect
from functools import cache
from typing import Any

import torch
from torch import Tensor

from maskmm.nn.backends.heads import repeat_heads
from maskmm.nn.layout import AttentionLayout


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


@cache
def varlen_parameters() -> frozenset[str]:
    """Names of the arguments that this torch's varlen_attn takes."""
    from torch.nn.attention.varlen import varlen_attn

    return frozenset(inspect.signature(varlen_attn).parameters)


def attend_varlen(q: Tensor, k: Tensor, v: Tensor, layout: AttentionLayout) -> Tensor:
    """(N, H, K), (M, G, K), (M, G, K) half precision -> (N, H, K)."""
    from torch.nn.attention.varlen import varlen_attn

    options: dict[str, Any] = {}
    if layout.window is not None:
        if "window_size" not in varlen_parameters():
            raise ValueError(
                f"window={layout.window}: this torch ({torch.__version__}) has no windows in varlen_attn"
            )
        options["window_size"] = (layout.window, layout.window)
    if k.shape[1] != q.shape[1] and "enable_gqa" in varlen_parameters():
        options["enable_gqa"] = True
    else:
        k, v = repeat_heads(k, q.shape[1]), repeat_heads(v, q.shape[1])
    # The cuDNN kernel was wrong on rows that are not 16-byte aligned (views of a fused projection), and rows past
    # the last offset get NaN gradients: contiguous inputs and full cover guard against both.
    q, k, v = (t.contiguous() for t in (q, k, v))
    out = varlen_attn(q, k, v, layout.cu_q, layout.cu_k, layout.max_q, layout.max_k, **options)
    return out[0] if isinstance(out, tuple) else out
