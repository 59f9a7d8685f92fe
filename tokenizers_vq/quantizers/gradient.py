"""Vector quantization with a codebook that the optimizer trains.

van den Oord et al., "Neural Discrete Representation Learning" (2017), equation 3; lookup by cosine as in Kumar et
al., "High-Fidelity Audio Compression with Improved RVQGAN" (DAC, 2023).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tokenizers_vq.contract import Quantized
from tokenizers_vq.quantizers.base import straight_through
from tokenizers_vq.quantizers.kmeans import kmeans
from tokenizers_vq.quantizers.lookup import nearest_code
from tokenizers_vq.quantizers.regularisers import Regulariser
from tokenizers_vq.quantizers.revival import fresh_codes
from tokenizers_vq.quantizers.single import SingleCodebook
from tokenizers_vq.quantizers.usage import CodeUsage


class GradientVQ(SingleCodebook):
    """One codebook, a parameter: codes are drawn to their latents by a loss, not by averages.

    Args:
        codebook_size: number of codes K.
        dim: width of the latents.
        metric: "euclidean", or "cosine": which code is nearest is then decided at unit length, while latents, codes
            and losses keep their lengths.
        commitment: weight of the loss that draws latents to their codes.
        codebook_weight: weight of the loss that draws codes to their latents.
        regularisers: further losses of the codebook, see regularisers.py.
        init: "kmeans" starts from the first training batch, "normal" from the standard normal distribution.
        revive_below: a code used less than this share of an even use is put on a random latent of the next batch;
            0 never revives. The optimizer's moments of that code are left as they are.
        seed: of the start and of revival.

    Raises:
        ValueError: sizes below 1, an unknown metric or init.
    """

    def __init__(
        self,
        codebook_size: int,
        dim: int,
        metric: str = "euclidean",
        commitment: float = 0.25,
        codebook_weight: float = 1.0,
        regularisers: Sequence[Regulariser] = (),
        init: str = "kmeans",
        revive_below: float = 0.1,
        seed: int = 0,
    ) -> None:
        super().__init__(codebook_size, dim, init, seed, "gradient vq")
        if metric not in ("euclidean", "cosine"):
            raise ValueError(f"metric={metric!r}: expected 'euclidean' or 'cosine'")
        self.commitment, self.codebook_weight = commitment, codebook_weight
        self.regularisers = tuple(regularisers)
        self._is_cosine = metric == "cosine"
        self.codebook_KD = nn.Parameter(self.normal_codes())
        self.usage = CodeUsage(codebook_size, dead_below=revive_below)

    def encode(self, latents: Tensor) -> Tensor:
        """Codes (..., 1) int64 of latents (..., dim)."""
        self.check_latents(latents)
        return self._lookup(latents.reshape(-1, self.dim)).reshape(*latents.shape[:-1], 1)

    def forward(self, latents: Tensor, is_valid: Tensor | None = None) -> Quantized:
        """Nearest code, straight-through gradient. Metrics: usage, perplexity, dead, revived.

        The regularisers are part of the loss in training mode alone: they may be taken over the batches of all
        ranks, which in validation may be of unequal number.
        """
        self.check_latents(latents, is_valid)
        x_ND = latents.reshape(-1, self.dim).float()
        weight_N = x_ND.new_ones(x_ND.shape[0]) if is_valid is None else is_valid.reshape(-1).float()
        revived = self._move(x_ND.detach(), weight_N) if self.training else x_ND.new_zeros(())
        codes_N1 = self._lookup(x_ND)[:, None]
        quantized_ND = self.decode(codes_N1)
        commitment_N = (x_ND - quantized_ND.detach()).square().mean(dim=1)
        codebook_N = (x_ND.detach() - quantized_ND).square().mean(dim=1)
        error_N = self.commitment * commitment_N + self.codebook_weight * codebook_N
        loss = (error_N * weight_N).sum() / weight_N.sum().clamp(min=1)
        if self.training:
            with torch.autocast(x_ND.device.type, enabled=False):
                for regulariser in self.regularisers:
                    loss = loss + regulariser(x_ND, weight_N, self.codebook_KD)
            self.usage.update(codes_N1, is_valid)
        quantized = quantized_ND.detach().reshape(latents.shape).to(latents.dtype)
        return Quantized(
            straight_through(latents, quantized),
            codes_N1.reshape(*latents.shape[:-1], 1),
            loss,
            self.usage.metrics() | {"revived": revived},
        )

    def _lookup(self, x_ND: Tensor) -> Tensor:
        if not self._is_cosine:
            return nearest_code(x_ND, self.codebook_KD)
        with torch.no_grad():
            return nearest_code(
                *(nn.functional.normalize(t.float(), dim=1) for t in (x_ND, self.codebook_KD))
            )

    @torch.no_grad()
    def _move(self, x_ND: Tensor, weight_N: Tensor) -> Tensor:
        """Start the codebook, or put dead codes on latents, before it is used; returns how many were revived."""
        if self.usage.step == 0:
            if self._uses_kmeans:
                self.codebook_KD.copy_(kmeans(x_ND, weight_N, self.codebook_size, self._key))
            return x_ND.new_zeros(())
        codes_KD, is_dead_K = fresh_codes(x_ND, weight_N, self.codebook_KD, self.usage, self._key)
        self.codebook_KD.copy_(codes_KD)
        return is_dead_K.sum().float()
