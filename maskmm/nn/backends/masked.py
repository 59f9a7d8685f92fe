"""SDPA with a mask, without the kernel whose gradients were wrong."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel


def masked_attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """(b, H, Lq, K), (b, H, Lk, K), (b, H, Lk, K), mask (bool or additive) that broadcasts to (b, H, Lq, Lk).

    cuDNN's kernel with a mask gave NaN for the gradient of q where Lq % 128 == 64 (pytorch issue 196678); it is
    the default of recent GPUs.
    """
    if mask is None or q.device.type != "cuda":
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    with sdpa_kernel([SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]):
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
