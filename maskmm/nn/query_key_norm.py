"""Norms of each head's queries and keys (Dehghani et al., "Scaling ViT to 22B", 2023)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maskmm.nn.config import NormKind


class QueryKeyNorm(nn.Module):
    """Norm of each head's queries and keys, with one learned gain for queries and one for keys.

    Args:
        head_width: K.
        eps: of the norm.
        kind: "rms", or "layer" (without a bias).
    """

    def __init__(self, head_width: int, eps: float, kind: NormKind = "rms") -> None:
        super().__init__()
        self.eps = eps
        self.kind = kind
        # Vectors, as all gains are: the model starts and the optimizer decays what has two dimensions or more.
        self.query_gain = nn.Parameter(torch.ones(head_width))
        self.key_gain = nn.Parameter(torch.ones(head_width))

    def forward(self, qk_NJK: Tensor, num_heads: int) -> Tensor:
        """(N, H + G, K), the H query heads first -> the same shape, in the dtype of the gains or a wider one."""
        norm = F.rms_norm if self.kind == "rms" else F.layer_norm
        wide_NJK = qk_NJK.to(torch.promote_types(qk_NJK.dtype, self.query_gain.dtype))
        normed = norm(wide_NJK, qk_NJK.shape[-1:], eps=self.eps)
        q_NHK, k_NGK = normed.split([num_heads, qk_NJK.shape[1] - num_heads], dim=1)
        return torch.cat([q_NHK * self.query_gain, k_NGK * self.key_gain], dim=1)
