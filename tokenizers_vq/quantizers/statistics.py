"""Health of a codebook, from how often each code is used."""

from __future__ import annotations

import torch
from torch import Tensor


def usage(count_K: Tensor) -> Tensor:
    """Share of codes that were used at all: scalar in [0, 1]."""
    return (count_K > 0).float().mean()


def perplexity(count_K: Tensor) -> Tensor:
    """exp of the entropy of the codes: 1 where a single code is used, K where all are used alike."""
    share_K = count_K.float() / count_K.sum().clamp(min=1e-12)
    return torch.exp(-torch.special.xlogy(share_K, share_K).sum())


def count_codes(codes: Tensor, codebook_size: int) -> Tensor:
    """(Q, K) float32: how often each code of each codebook occurs in codes (..., Q)."""
    codes_QN = codes.reshape(-1, codes.shape[-1]).t()
    counts_QK = torch.zeros(codes_QN.shape[0], codebook_size, device=codes.device)
    return counts_QK.scatter_add_(1, codes_QN, torch.ones_like(codes_QN, dtype=torch.float32))
