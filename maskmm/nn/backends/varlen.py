"""Torch's packed CUDA kernel (torch.nn.attention.varlen), half precision, sm80 and newer."""

from __future__ import annotations

import inspect
from functools import cache
from typing import Any

import torch
from torch import Tensor

from maskmm.nn.backends.base import Backend, Call, plain_obstacle
from maskmm.nn.backends.heads import repeat_heads
from maskmm.nn.layout import AttentionLayout, PairBias

CUDNN_WITH_EMPTY_SAMPLES = 92500
"""cuDNN's packed kernel takes samples without rows from this version on (cudnn-frontend issue 943)."""


@torch.compiler.assume_constant_result
def varlen_obstacle(device_type: str, dtype: torch.dtype, head_width: int) -> str | None:
    """Why no packed CUDA kernel can run such tensors; None where one can."""
    if device_type != "cuda":
        return f"device {device_type} has no packed kernel"
    if dtype not in (torch.float16, torch.bfloat16):
        return f"dtype {dtype}, the kernel takes float16 or bfloat16"
    if torch.cuda.get_device_capability() < (8, 0):
        return "the GPU is older than sm80"
    if head_width % 8 or head_width > 256:
        return f"head width {head_width}, expected a multiple of 8 up to 256"
    return None


@torch.compiler.assume_constant_result
def varlen_takes(parameter: str) -> bool:
    """Whether this torch's varlen_attn has an argument of that name (window_size, enable_gqa came later than it)."""
    return parameter in _varlen_parameters()


@torch.compiler.assume_constant_result
def is_cudnn_sound() -> bool:
    """Whether cuDNN's kernel, which varlen_attn prefers on Hopper, takes packs as they are."""
    version = torch.backends.cudnn.version()
    return version is None or version >= CUDNN_WITH_EMPTY_SAMPLES


@cache
def _varlen_parameters() -> frozenset[str]:
    from torch.nn.attention.varlen import varlen_attn

    return frozenset(inspect.signature(varlen_attn).parameters)


def _obstacle(call: Call) -> str | None:
    why_not = varlen_obstacle(call.device_type, call.dtype, call.head_width) or plain_obstacle(call)
    if why_not is None and call.layout.window is not None and not varlen_takes("window_size"):
        why_not = f"varlen_attn of torch {torch.__version__} has no window"
    return why_not


def _attend(q: Tensor, k: Tensor, v: Tensor, layout: AttentionLayout, bias: PairBias | None) -> Tensor:
    from torch.nn.attention.varlen import varlen_attn

    longest_q, longest_k = longest_rows(q, k, layout)
    options: dict[str, Any] = {}
    if layout.window is not None:
        options["window_size"] = (layout.window, layout.window)
    elif not is_cudnn_sound() and varlen_takes("window_size"):
        # Filled packs have samples without rows. A window over everything is full attention, which FlashAttention
        # drops before it starts; cuDNN is not given windows.
        options["window_size"] = (max(longest_q, longest_k),) * 2
    if k.shape[1] != q.shape[1] and varlen_takes("enable_gqa"):
        options["enable_gqa"] = True
    else:
        k, v = repeat_heads(k, q.shape[1]), repeat_heads(v, q.shape[1])
    # The cuDNN kernel was wrong on rows that are not 16-byte aligned (views of a fused projection): contiguous
    # inputs guard against it.
    q, k, v = (t.contiguous() for t in (q, k, v))
    out = varlen_attn(q, k, v, layout.cu_q, layout.cu_k, longest_q, longest_k, **options)
    return out[0] if isinstance(out, tuple) else out


def longest_rows(q: Tensor, k: Tensor, layout: AttentionLayout) -> tuple[int, int]:
    """Bounds of a sample's rows for the kernel; a graph without a configured bound takes the pack's length."""
    if layout.max_length is None and torch.compiler.is_compiling():
        return q.shape[0], k.shape[0]
    return layout.longest


VARLEN = Backend("varlen", _obstacle, _attend)
