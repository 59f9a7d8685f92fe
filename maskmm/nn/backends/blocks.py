"""Local windows in blocks: each block of query rows against the key rows around it, one SDPA call for the pack.

Exact: blocks run over the pack's rows and not over samples, so a mask keeps apart what is too far away or of another
sample. The cost grows with rows times window; no length is read, and compiled graphs see one shape (the blocked
band of Beltagy et al., "Longformer", 2020).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from maskmm.nn.backends.base import Backend, Call, plain_obstacle
from maskmm.nn.backends.heads import repeat_heads
from maskmm.nn.backends.masked import masked_attention
from maskmm.nn.layout import AttentionLayout, PairBias


def _obstacle(call: Call) -> str | None:
    if call.layout.window is None:
        return "the layout has no window"
    if not call.layout.is_self_attention:
        return "query rows are other rows than the key rows"
    return plain_obstacle(call)


def block_size(window: int) -> int:
    """Query rows a block: about half the window, 32 to 128.

    Small blocks see fewer keys in vain; large ones copy each key and its gradient less often.
    """
    return min(128, max(32, (1 << max(window - 1, 0).bit_length()) // 2))


def _attend(q: Tensor, k: Tensor, v: Tensor, layout: AttentionLayout, bias: PairBias | None) -> Tensor:
    assert layout.window is not None
    num_rows, num_heads, width = q.shape
    if not num_rows:
        return q
    window = min(layout.window, num_rows)
    size = block_size(window)
    is_allowed = layout.once(
        ("blocks", layout.window), lambda: _may_attend(layout.cu_q, num_rows, window, size)
    )
    tail = -num_rows % size
    q = F.pad(q, (0, 0, 0, 0, 0, tail)).unflatten(0, (-1, size))
    k, v = (
        F.pad(repeat_heads(t, num_heads), (0, 0, 0, 0, window, window + tail))
        .unfold(0, size + 2 * window, size)
        .transpose(2, 3)
        for t in (k, v)
    )
    out = masked_attention(q.transpose(1, 2), k, v, is_allowed)
    return out.transpose(1, 2).reshape(-1, num_heads, width)[:num_rows]


def _may_attend(offsets: Tensor, num_rows: int, window: int, size: int) -> Tensor:
    """(blocks, 1, size, size + 2 window) bool: near enough and of one sample."""
    num_blocks = -(-num_rows // size)
    rows = torch.arange(num_blocks * size, device=offsets.device)
    sample = torch.bucketize(rows, offsets[1:], right=True)
    # Rows that fill up the last block are a sample of their own, so that no row of scores is empty.
    sample = torch.where(rows < num_rows, sample, -1)
    samples_k = F.pad(sample, (window, window), value=-2).unfold(0, size + 2 * window, size)
    distance = torch.arange(size + 2 * window, device=offsets.device) - window
    near = (distance - torch.arange(size, device=offsets.device)[:, None]).abs() <= window
    return (near & (sample.view(num_blocks, size, 1) == samples_k[:, None]))[:, None]


BLOCKS = Backend("blocks", _obstacle, _attend)
