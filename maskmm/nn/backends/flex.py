"""FlexAttention for predicates (Dong et al., "Flex Attention", 2024): compiled kernels that skip empty blocks.

Always compiled: uncompiled it would hold the scores of the whole pack.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from maskmm.nn.backends.base import Backend, Call
from maskmm.nn.layout import AttentionLayout, PairBias

BLOCK = 128
"""Rows of a block of the mask. Packs are filled up to whole blocks: gradients of part blocks have been NaN."""

_KINDS = 64
"""Predicates, dtypes, head counts, numbers of rows, with and without gradients, that one process may compile for.

Torch's own bound of 8 is met by two predicates, trained and validated.
"""


@torch.compiler.assume_constant_result
def _has_triton() -> bool:
    return find_spec("triton") is not None


def _obstacle(call: Call) -> str | None:
    if call.has_bias:
        return "there is an additive bias"
    if call.head_width < 16:
        return f"head width {call.head_width} is below 16"
    if call.device_type == "cuda" and call.dtype == torch.float64:
        return f"dtype {call.dtype}, the kernels are made for at most float32"
    if call.device_type == "cuda":
        return None if _has_triton() else "triton is not installed"
    if call.device_type != "cpu":
        return f"device {call.device_type} has no FlexAttention"
    return "FlexAttention has no backward on the CPU" if call.needs_grad else None


def _attend(q: Tensor, k: Tensor, v: Tensor, layout: AttentionLayout, bias: PairBias | None) -> Tensor:
    from torch.nn.attention.flex_attention import flex_attention

    num_rows = q.shape[0]
    tail_q, tail_k = -num_rows % BLOCK, -k.shape[0] % BLOCK
    mask = layout.once(
        ("flex", layout.window), lambda: _block_mask(layout, num_rows + tail_q, k.shape[0] + tail_k)
    )
    q_1HLK, k_1GLK, v_1GLK = (
        F.pad(t, (0, 0, 0, 0, 0, tail)).transpose(0, 1)[None]
        for t, tail in ((q, tail_q), (k, tail_k), (v, tail_k))
    )
    # The CPU's kernels do not compile for symbolic shapes: each number of blocks is a kind of its own.
    out = _compiled(flex_attention, is_static=q.device.type == "cpu")(
        q_1HLK, k_1GLK, v_1GLK, block_mask=mask, enable_gqa=k.shape[1] != q.shape[1]
    )
    return out[0].transpose(0, 1)[:num_rows]


def _compiled(function: Callable[..., Any], is_static: bool = False) -> Callable[..., Any]:
    """The function compiled; inside a compiled graph the call is compiled with the rest."""
    if torch.compiler.is_compiling():
        return function

    def run(*args: Any, **kwargs: Any) -> Any:
        with torch._dynamo.config.patch(recompile_limit=_KINDS):
            return _kernel(function, is_static)(*args, **kwargs)

    return run


@cache
def _kernel(function: Callable[..., Any], is_static: bool) -> Callable[..., Any]:
    # fullgraph: one kind too many is an error, not a fall back to the scores of all pairs.
    return torch.compile(function, fullgraph=True, dynamic=False if is_static else None)


def _block_mask(layout: AttentionLayout, num_q: int, num_k: int) -> Any:
    """The layout over whole blocks of rows; rows that fill them up see nothing and are not seen.

    What changes with the batch is tensors, never numbers in the closure: those would be compiled in.
    """
    from torch.nn.attention.flex_attention import create_block_mask

    sample_q, rank_q, rows_q = _places(layout.cu_q, num_q, outside=-1)
    sample_k, rank_k, rows_k = _places(layout.cu_k, num_k, outside=-2)
    window, predicate = layout.window, layout.predicate
    if not layout.is_self_attention:
        # Fewer query rows than key rows are the sample's last ones.
        behind = F.pad(layout.cu_k.diff() - layout.cu_q.diff(), (0, 1))
        rank_q = rank_q + behind[sample_q]

    def may_attend(b: Tensor, h: Tensor, i: Tensor, j: Tensor) -> Tensor:
        is_allowed = sample_q[i] == sample_k[j]
        if window is not None:
            is_allowed = is_allowed & ((rank_q[i] - rank_k[j]).abs() <= window)
        if predicate is not None:
            is_allowed = is_allowed & predicate(rows_q[i], rows_k[j])
        return is_allowed

    return _compiled(create_block_mask)(
        may_attend, None, None, num_q, num_k, device=sample_q.device, BLOCK_SIZE=BLOCK
    )


def _places(offsets: Tensor, num_rows: int, outside: int) -> tuple[Tensor, Tensor, Tensor]:
    """Sample (`outside` past the last offset), rank in it and row number of every row, each (num_rows,).

    Rows past the last offset repeat the last number, so that a predicate may index its tensors by it.
    """
    rows = torch.arange(num_rows, device=offsets.device)
    sample = torch.bucketize(rows, offsets[1:], right=True)
    rank = rows - offsets[sample]
    return torch.where(rows < offsets[-1], sample, outside), rank, rows.minimum(offsets[-1] - 1)


FLEX = Backend("flex", _obstacle, _attend)
