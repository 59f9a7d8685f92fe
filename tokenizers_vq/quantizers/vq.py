"""Vector quantization with a codebook learned by moving averages.

van den Oord et al., "Neural Discrete Representation Learning" (2017), appendix A.1; k-means start and revival of
unused codes as in Zeghidour et al., "SoundStream" (2021).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from tokenizers_vq.contract import Quantized
from tokenizers_vq.quantizers.base import straight_through
from tokenizers_vq.quantizers.distributed import from_first_rank, sum_over_ranks
from tokenizers_vq.quantizers.kmeans import kmeans, pick_rows
from tokenizers_vq.quantizers.lookup import nearest_code
from tokenizers_vq.quantizers.single import SingleCodebook
from tokenizers_vq.quantizers.statistics import perplexity

_EPSILON = 1e-5
_USAGE_WINDOW = 100  # training steps that the reported usage looks back


class VectorQuantizer(SingleCodebook):
    """One codebook. Everything it learns or counts is in its state_dict, so that training resumes exactly.

    Args:
        codebook_size: number of codes K.
        dim: width of the latents.
        decay: of the moving averages; 0.99 suits thousands of steps, 0.95 hundreds.
        commitment: weight of the loss that draws latents to their codes.
        init: "kmeans" starts from the first training batch, "normal" from the standard normal distribution.
        revive_below: a code used less than this share of an even use is put on a random latent of the batch;
            0 never revives.
        seed: of the start and of revival.

    Raises:
        ValueError: sizes below 1, decay outside [0, 1), an unknown init.
    """

    ema_count_K: Tensor
    ema_sum_KD: Tensor
    last_used_K: Tensor
    num_updates: Tensor

    def __init__(
        self,
        codebook_size: int,
        dim: int,
        decay: float = 0.99,
        commitment: float = 0.25,
        init: str = "kmeans",
        revive_below: float = 0.1,
        seed: int = 0,
    ) -> None:
        super().__init__(codebook_size, dim, init, seed, "vq")
        if not 0 <= decay < 1:
            raise ValueError(f"decay={decay}: expected 0 <= decay < 1")
        self.decay, self.commitment, self.revive_below = decay, commitment, revive_below
        start = self.normal_codes()
        self.register_buffer("codebook_KD", start)
        self.register_buffer("ema_count_K", torch.ones(codebook_size))
        self.register_buffer("ema_sum_KD", start.clone())
        self.register_buffer("last_used_K", torch.zeros(codebook_size, dtype=torch.int64))
        self.register_buffer("num_updates", torch.zeros((), dtype=torch.int64))
        # Python's copy of num_updates: reading a tensor would make a GPU wait each step.
        self._step = 0
        self.register_load_state_dict_post_hook(_read_step)

    def encode(self, latents: Tensor) -> Tensor:
        """Codes (..., 1) int64 of latents (..., dim)."""
        self.check_latents(latents)
        return nearest_code(latents.reshape(-1, self.dim), self.codebook_KD).reshape(*latents.shape[:-1], 1)

    def forward(self, latents: Tensor, is_valid: Tensor | None = None) -> Quantized:
        """Nearest code, straight-through gradient; in training mode the codebook follows the latents.

        Metrics: usage (share of codes used in the last 100 training steps), perplexity (of the moving average),
        dead (codes below `revive_below`), revived (codes moved in this step).
        """
        out = self.assign(latents, is_valid)
        return Quantized(straight_through(latents, out.latents), out.codes, out.loss, out.metrics)

    def assign(self, latents: Tensor, is_valid: Tensor | None = None) -> Quantized:
        """As `forward`, but the latents are the bare code vectors, without gradient (for residual levels)."""
        self.check_latents(latents, is_valid)
        x_ND = latents.detach().reshape(-1, self.dim).float()
        weight_N = x_ND.new_ones(x_ND.shape[0]) if is_valid is None else is_valid.reshape(-1).float()
        if self.training and self._step == 0 and self._uses_kmeans:
            self._set_codes(kmeans(x_ND, weight_N, self.codebook_size, self._key))
        codes_N = nearest_code(x_ND, self.codebook_KD)
        codes = codes_N.reshape(*latents.shape[:-1], 1)
        quantized = self.decode(codes)
        error_N = (latents - quantized.to(latents.dtype)).square().mean(dim=-1).reshape(-1)
        loss = self.commitment * (error_N * weight_N).sum() / weight_N.sum().clamp(min=1)
        revived = self._learn(x_ND, codes_N, weight_N) if self.training else codes_N.new_zeros(())
        return Quantized(
            quantized.to(latents.dtype), codes, loss, self._metrics() | {"revived": revived.float()}
        )

    @torch.no_grad()
    def _learn(self, x_ND: Tensor, codes_N: Tensor, weight_N: Tensor) -> Tensor:
        """Move the codebook by one batch; returns how many codes were revived."""
        self._step += 1
        self.num_updates += 1
        count_K = sum_over_ranks(torch.zeros_like(self.ema_count_K).index_add_(0, codes_N, weight_N))
        sum_KD = torch.zeros_like(self.ema_sum_KD).index_add_(0, codes_N, x_ND * weight_N[:, None])
        self.ema_count_K.lerp_(count_K, 1 - self.decay)
        self.ema_sum_KD.lerp_(sum_over_ranks(sum_KD), 1 - self.decay)
        self.last_used_K[:] = torch.where(count_K > 0, self.num_updates, self.last_used_K)
        self.codebook_KD[:] = self.ema_sum_KD / self.ema_count_K.clamp(min=_EPSILON)[:, None]
        is_dead_K = self._is_dead() & (count_K.sum() > 0)
        fresh_KD = pick_rows(x_ND, weight_N, self.codebook_size, self._key.fold("revive").at(self._step))
        fresh_KD = from_first_rank(fresh_KD.contiguous())
        self.codebook_KD[:] = torch.where(is_dead_K[:, None], fresh_KD, self.codebook_KD)
        # An even share of the use gives a revived code time to find its own latents.
        even = self.ema_count_K.mean()
        self.ema_count_K[:] = torch.where(is_dead_K, even, self.ema_count_K)
        self.ema_sum_KD[:] = torch.where(is_dead_K[:, None], fresh_KD * even, self.ema_sum_KD)
        return is_dead_K.sum()

    def _is_dead(self) -> Tensor:
        return self.ema_count_K < self.revive_below * self.ema_count_K.mean()

    def _set_codes(self, codes_KD: Tensor) -> None:
        self.codebook_KD.copy_(codes_KD)
        self.ema_sum_KD.copy_(codes_KD)
        self.ema_count_K.fill_(1)

    def _metrics(self) -> dict[str, Tensor]:
        was_used_K = (self.last_used_K > 0) & (self.last_used_K > self.num_updates - _USAGE_WINDOW)
        return {
            "usage": was_used_K.float().mean(),
            "perplexity": perplexity(self.ema_count_K),
            "dead": self._is_dead().sum().float(),
        }


def _read_step(module: nn.Module, incompatible_keys: Any) -> None:
    assert isinstance(module, VectorQuantizer)
    module._step = int(module.num_updates)
