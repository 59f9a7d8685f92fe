"""The flash-attn package's packed kernel (Dao, "FlashAttention-2", 2023), where it is installed."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from maskmm.nn.backends.base import Backend, Call, plain_obstacle
from maskmm.nn.backends.varlen import longest_rows, varlen_obstacle
from maskmm.nn.layout import AttentionLayout, PairBias


@torch.compiler.assume_constant_result
def _package_obstacle() -> str | None:
    return _why_not_imported()


@cache
def _why_not_imported() -> str | None:
    try:
        from flash_attn import flash_attn_varlen_func  # noqa: F401
    except ImportError as error:
        return f"the flash-attn package does not import ({error})"
    return None


def _obstacle(call: Call) -> str | None:
    why_not = varlen_obstacle(call.device_type, call.dtype, call.head_width) or plain_obstacle(call)
    return why_not or _package_obstacle()


def _attend(q: Tensor, k: Tensor, v: Tensor, layout: AttentionLayout, bias: PairBias | None) -> Tensor:
    from flash_attn import flash_attn_varlen_func

    longest_q, longest_k = longest_rows(q, k, layout)
    window = (-1, -1) if layout.window is None else (layout.window, layout.window)
    q, k, v = (t.contiguous() for t in (q, k, v))
    return flash_attn_varlen_func(q, k, v, layout.cu_q, layout.cu_k, longest_q, longest_k, window_size=window)


FLASH = Backend("flash", _obstacle, _attend)
