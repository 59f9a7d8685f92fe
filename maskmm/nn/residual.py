"""How a branch's output joins the stream."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from maskmm.nn.config import ResidualConfig
from maskmm.nn.draws import BranchDraws, HashedDropout


class Residual(nn.Module):
    """alpha x + keep * scale * dropout(branch).

    Args:
        width: D.
        config: dropout and LayerScale (Touvron et al., "Going deeper with image transformers", 2021).
        alpha: gain of the stream (DeepNorm), 1 elsewhere.
    """

    def __init__(self, width: int, config: ResidualConfig, alpha: float = 1.0) -> None:
        super().__init__()
        self.alpha = alpha
        self.has_half_stream = config.has_half_stream
        self.dropout = HashedDropout(width, config.dropout)
        start = config.layer_scale
        self.scale = None if start is None else nn.Parameter(torch.full((width,), start))

    def forward(self, x_ND: Tensor, branch_ND: Tensor, draws: BranchDraws) -> Tensor:
        """(N, D), (N, D) and draws of the N rows -> (N, D)."""
        if self.has_half_stream:
            x_ND = x_ND.to(branch_ND.dtype)
        branch_ND = self.dropout(branch_ND, draws.noise)
        if self.scale is not None:
            branch_ND = branch_ND * self.scale
            # The scale is float32, and so is its product.
            branch_ND = branch_ND.to(x_ND.dtype) if self.has_half_stream else branch_ND
        if draws.keep is not None:
            branch_ND = branch_ND * draws.keep.to(branch_ND.dtype)
        return (x_ND if self.alpha == 1.0 else self.alpha * x_ND) + branch_ND
