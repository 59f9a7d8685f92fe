"""Vector quantization on the unit sphere, with a codebook learned by moving averages.

Peng et al., "BEiT v2: Masked Image Modeling with Vector-Quantized Visual Tokenizers" (VQ-KD, 2022); Yu et al.,
"Vector-quantized Image Modeling with Improved VQGAN" (2021); Chen et al., "BEATs" (2022).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tokenizers_vq.contract import Quantized
from tokenizers_vq.quantizers.base import straight_through
from tokenizers_vq.quantizers.distributed import sum_over_ranks
from tokenizers_vq.quantizers.kmeans import kmeans
from tokenizers_vq.quantizers.lookup import nearest_code
from tokenizers_vq.quantizers.revival import fresh_codes
from tokenizers_vq.quantizers.single import SingleCodebook
from tokenizers_vq.quantizers.usage import CodeUsage


class CosineVQ(SingleCodebook):
    """One codebook of unit vectors; latents are brought to unit length, and the gradient passes that.

    VQ-KD's and BEATs' quantizer is `ProjectedQuantizer(768, CosineVQ(8192, 32))`: few dimensions keep all codes used.

    Args:
        codebook_size: number of codes K.
        dim: width of the latents.
        decay: of each code towards the mean direction of its latents; codes without latents stay.
        commitment: weight of the loss that draws latents to their codes, at unit length.
        init: "kmeans" starts from the first training batch, "normal" from random directions.
        revive_below: a code used less than this share of an even use is put on a random latent of the next batch;
            0 never revives.
        seed: of the start and of revival.

    Raises:
        ValueError: sizes below 1, decay outside [0, 1), an unknown init.
    """

    def __init__(
        self,
        codebook_size: int,
        dim: int,
        decay: float = 0.99,
        commitment: float = 1.0,
        init: str = "kmeans",
        revive_below: float = 0.1,
        seed: int = 0,
    ) -> None:
        super().__init__(codebook_size, dim, init, seed, "cosine vq")
        self.decay, self.commitment = decay, commitment
        self.register_buffer("codebook_KD", nn.functional.normalize(self.normal_codes(), dim=1))
        self.usage = CodeUsage(codebook_size, decay=decay, dead_below=revive_below)

    def encode(self, latents: Tensor) -> Tensor:
        """Codes (..., 1) int64 of latents (..., dim)."""
        self.check_latents(latents)
        unit_ND = nn.functional.normalize(latents.reshape(-1, self.dim).float(), dim=1)
        return nearest_code(unit_ND, self.codebook_KD).reshape(*latents.shape[:-1], 1)

    def forward(self, latents: Tensor, is_valid: Tensor | None = None) -> Quantized:
        """Nearest direction; in training mode the codebook follows. Metrics: usage, perplexity, dead, revived."""
        self.check_latents(latents, is_valid)
        unit = nn.functional.normalize(latents.float(), dim=-1)
        x_ND = unit.detach().reshape(-1, self.dim)
        weight_N = x_ND.new_ones(x_ND.shape[0]) if is_valid is None else is_valid.reshape(-1).float()
        revived = self._move(x_ND, weight_N) if self.training else x_ND.new_zeros(())
        codes_N = nearest_code(x_ND, self.codebook_KD)
        codes = codes_N.reshape(*latents.shape[:-1], 1)
        quantized = self.decode(codes)
        error_N = (unit - quantized).square().mean(dim=-1).reshape(-1)
        loss = self.commitment * (error_N * weight_N).sum() / weight_N.sum().clamp(min=1)
        if self.training:
            self._learn(x_ND, codes_N, weight_N, self.usage.update(codes, is_valid)[0])
        metrics = self.usage.metrics() | {"revived": revived}
        return Quantized(straight_through(unit, quantized).to(latents.dtype), codes, loss, metrics)

    @torch.no_grad()
    def _learn(self, x_ND: Tensor, codes_N: Tensor, weight_N: Tensor, count_K: Tensor) -> None:
        """Turn each code towards the mean direction of its latents on all ranks."""
        sum_KD = torch.zeros_like(self.codebook_KD).index_add_(0, codes_N, x_ND * weight_N[:, None])
        mean_KD = nn.functional.normalize(sum_over_ranks(sum_KD), dim=1)
        turned_KD = nn.functional.normalize(self.codebook_KD.lerp(mean_KD, 1 - self.decay), dim=1)
        self.codebook_KD[:] = torch.where(count_K[:, None] > 0, turned_KD, self.codebook_KD)

    @torch.no_grad()
    def _move(self, x_ND: Tensor, weight_N: Tensor) -> Tensor:
        """Start the codebook, or put dead codes on latents, before it is used; returns how many were revived."""
        if self.usage.step == 0:
            if self._uses_kmeans:
                self.codebook_KD.copy_(
                    kmeans(x_ND, weight_N, self.codebook_size, self._key, is_spherical=True)
                )
            return x_ND.new_zeros(())
        codes_KD, is_dead_K = fresh_codes(x_ND, weight_N, self.codebook_KD, self.usage, self._key)
        self.codebook_KD.copy_(codes_KD)
        return is_dead_K.sum().float()
