"""Stochastic depth: whole branches are left out of a sample in training (Huang et al., 2016)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tokenizers_vq.contract import Key


class DropPath(nn.Module):
    """Which samples keep which branches of which layers, drawn once a forward.

    Draws are hashed from (seed, forward number, sample id, layer, branch): packing and sharding do not change them, and
    recomputed blocks see them again. The seed comes from torch's generator when the model is built; both numbers are
    saved with the model, so that a resumed run goes on as it would have.

    Args:
        depth: number of blocks; block i leaves a branch out with probability i / (depth - 1) of `probability`.
        probability: that of the last block.
    """

    rate: Tensor
    seed: Tensor
    step: Tensor

    def __init__(self, depth: int, probability: float) -> None:
        super().__init__()
        self.register_buffer("rate", torch.linspace(0.0, probability, depth), persistent=False)
        self.register_buffer("seed", torch.randint(1 << 20, ()))
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))

    def forward(self, sample_id: Tensor, sample: Tensor) -> Tensor:
        """Draws of one training forward; each call draws anew.

        Args:
            sample_id: (B,) int64.
            sample: (N,) int64, sample of each row.

        Returns:
            (L, 2, N, 1) float: 0 where a branch is left out, else 1 / (1 - probability).
        """
        rate_L11 = self.rate[:, None, None]
        layer = torch.arange(rate_L11.shape[0], device=sample_id.device)[:, None, None]
        branch = torch.arange(2, device=sample_id.device)[:, None]
        draw_L2B = Key(0).fold("drop_path").uniform(self.seed, self.step, sample_id, layer, branch)
        self.step += 1
        factor_L2B = (draw_L2B >= rate_L11).to(rate_L11.dtype) / (1 - rate_L11)
        return factor_L2B[..., sample, None]
