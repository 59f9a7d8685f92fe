"""How often each code is used: the health report that quantizers of every kind share."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from tokenizers_vq.quantizers.distributed import sum_over_ranks
from tokenizers_vq.quantizers.statistics import perplexity

_WINDOW = 100  # training steps that the reported usage looks back


class CodeUsage(nn.Module):
    """Counts of Q codebooks of K codes over training steps and ranks, in the state_dict of their quantizer.

    Args:
        codebook_size: codes K of each codebook.
        num_codebooks: codebooks Q.
        decay: of the moving average of the counts.
        dead_below: a code used less than this share of an even use is dead.

    Attributes:
        step: training steps so far, a Python copy of `num_updates` (reading a tensor would make a GPU wait).
    """

    ema_count_QK: Tensor
    last_used_QK: Tensor
    num_updates: Tensor

    def __init__(
        self, codebook_size: int, num_codebooks: int = 1, decay: float = 0.99, dead_below: float = 0.1
    ) -> None:
        super().__init__()
        if not 0 <= decay < 1:
            raise ValueError(f"decay={decay}: expected 0 <= decay < 1")
        self.decay, self.dead_below = decay, dead_below
        self.register_buffer("ema_count_QK", torch.ones(num_codebooks, codebook_size))
        self.register_buffer("last_used_QK", torch.zeros(num_codebooks, codebook_size, dtype=torch.int64))
        self.register_buffer("num_updates", torch.zeros((), dtype=torch.int64))
        self.step = 0
        self.register_load_state_dict_post_hook(_read_step)

    @torch.no_grad()
    def update(self, codes: Tensor, is_valid: Tensor | None = None) -> Tensor:
        """Count one training batch; returns its counts (Q, K) float32 over all ranks.

        Args:
            codes: (..., Q) int64.
            is_valid: (...) bool, False at padding.
        """
        self.step += 1
        self.num_updates += 1
        num_codebooks, codebook_size = self.ema_count_QK.shape
        flat = codes.reshape(-1, num_codebooks)
        if num_codebooks > 1:
            flat = flat + torch.arange(num_codebooks, device=codes.device) * codebook_size
        flat = flat.reshape(-1)
        if is_valid is None:
            count = torch.bincount(flat, minlength=self.ema_count_QK.numel()).float()
        else:
            weight = is_valid.reshape(-1, 1).expand(-1, num_codebooks).reshape(-1).float()
            count = torch.zeros_like(self.ema_count_QK).view(-1).index_add_(0, flat, weight)
        count_QK = sum_over_ranks(count.view_as(self.ema_count_QK))
        self.ema_count_QK.lerp_(count_QK, 1 - self.decay)
        self.last_used_QK[:] = torch.where(count_QK > 0, self.num_updates, self.last_used_QK)
        return count_QK

    def is_dead(self) -> Tensor:
        """(Q, K) bool."""
        even_Q1 = self.ema_count_QK.mean(dim=1, keepdim=True)
        return self.ema_count_QK < self.dead_below * even_Q1

    @torch.no_grad()
    def revive(self, is_dead_QK: Tensor) -> None:
        """Give revived codes the count of an even use, so that they have time to find their own latents."""
        even_Q1 = self.ema_count_QK.mean(dim=1, keepdim=True)
        self.ema_count_QK[:] = torch.where(is_dead_QK, even_Q1, self.ema_count_QK)

    @torch.no_grad()
    def metrics(self) -> dict[str, Tensor]:
        """Usage (share of codes used in the last 100 training steps), perplexity and dead codes.

        With several codebooks "/index" is appended to the names.
        """
        was_used_QK = (self.last_used_QK > 0) & (self.last_used_QK > self.num_updates - _WINDOW)
        num_dead_Q = self.is_dead().sum(dim=1).float()
        out: dict[str, Tensor] = {}
        for q, was_used_K in enumerate(was_used_QK):
            suffix = f"/{q}" if len(was_used_QK) > 1 else ""
            out[f"usage{suffix}"] = was_used_K.float().mean()
            out[f"perplexity{suffix}"] = perplexity(self.ema_count_QK[q])
            out[f"dead{suffix}"] = num_dead_Q[q]
        return out


def _read_step(module: nn.Module, incompatible_keys: Any) -> None:
    assert isinstance(module, CodeUsage)
    module.step = int(module.num_updates)
