"""Softmax attention of equally long samples written out, and its gradients; the scores are materialised."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def accumulator(x: Tensor) -> torch.dtype:
    """What sums and softmaxes are taken in: float32, or float64 for float64."""
    return torch.promote_types(x.dtype, torch.float32)


def forward(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Attention of q, k, v (b, H, L, K).

    Args:
        q, k, v: heads first.
        bias: what is added to the scores, -inf where a pair may not attend; it broadcasts to (b, H, Lq, Lk).

    Returns:
        (b, H, Lq, K), and the log-sum-exp of the scores (b, H, Lq).
    """
    scores = _scores(q, k, bias)
    lse = scores.logsumexp(dim=-1)
    return (scores - lse[..., None]).exp().to(v.dtype) @ v, lse


def backward(
    grad: Tensor, q: Tensor, k: Tensor, v: Tensor, out: Tensor, lse: Tensor, bias: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients of q, k, v and of the scores (Dao et al., "FlashAttention", 2022, appendix B.2)."""
    scale = q.shape[-1] ** -0.5
    weights = (_scores(q, k, bias) - lse[..., None]).exp()
    delta = (grad.to(lse.dtype) * out.to(lse.dtype)).sum(dim=-1, keepdim=True)
    grad_scores = weights * ((grad @ v.mT).to(lse.dtype) - delta)
    grad_products = (grad_scores * scale).to(q.dtype)
    return grad_products @ k, grad_products.mT @ q, weights.to(v.dtype).mT @ grad, grad_scores


def _scores(q: Tensor, k: Tensor, bias: Tensor | None) -> Tensor:
    scale = q.shape[-1] ** -0.5
    # The larger part of it, a power of two, before: products of float16 overflow, and this rounds nothing.
    before = 2.0 ** math.floor(math.log2(scale))
    scores = ((q * before) @ k.mT).to(accumulator(q)) * (scale / before)
    return scores if bias is None else scores + bias
