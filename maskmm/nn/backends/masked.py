"""SDPA with a mask, without the kernel whose gradients were wrong."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel


def masked_attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """(b, H, Lq, K), (b, H, Lk, K), (b, H, Lk, K), mask (bool or additive) that broadcasts to (b, H, Lq, Lk).

    cuDNN's kernel with a mask gave NaN for the gradient of q where Lq % 128 == 64 (pytorch issue 196678); it is
    the default of recent GPUs. The others refuse rows that are not aligned to 16 bytes, as views of a fused projection
    may be; copies are.
    """
    if q.device.type != "cuda":
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    q, k, v = (t.clone(memory_format=torch.contiguous_format) for t in (q, k, v))
    if mask is None:
        return F.scaled_dot_product_attention(q, k, v)
    with sdpa_kernel([SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]):
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
