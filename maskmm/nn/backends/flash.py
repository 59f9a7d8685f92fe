"""The flash-attn package's packed kernel (Dao, "FlashAttention-2", 2023), where it is installed."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from maskmm.nn.backends.base import Backend, Call, plain_obstacle
from maskmm.nn.backends.varlen import longest_rows, varlen_obstacle
from maskmm.nn.layout import AttentionLayout, PairBias


@cache
def _kernel() -> tuple[Callable[..., Any] | None, str]:
    """The package's function, or why there is none."""
    try:
        return import_module("flash_attn").flash_attn_varlen_func, ""
    except ImportError as error:
        return None, f"the flash-attn package does not import ({error})"


@torch.compiler.assume_constant_result
def _package_obstacle() -> str | None:
    return _kernel()[1] or None


def _obstacle(call: Call) -> str | None:
    why_not = varlen_obstacle(call.device_type, call.dtype) or plain_obstacle(call)
    if why_not is None and (call.head_width % 8 or call.head_width > 256):
        why_not = f"head width {call.head_width}, expected a multiple of 8 up to 256"
    return why_not or _package_obstacle()


def _attend(q: Tensor, k: Tensor, v: Tensor, layout: AttentionLayout, bias: PairBias | None) -> Tensor:
    kernel, why_not = _kernel()
    assert kernel is not None, why_not
    longest_q, longest_k = longest_rows(q, k, layout)
    window = (-1, -1) if layout.window is None else (layout.window, layout.window)
    q, k, v = (t.contiguous() for t in (q, k, v))
    return kernel(q, k, v, layout.cu_q, layout.cu_k, longest_q, longest_k, window_size=window)


FLASH = Backend("flash", _obstacle, _attend)
