"""Losses that keep a gradient-trained codebook alive; they are given to GradientVQ and add to its loss."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from tokenizers_vq.contract import Described
from tokenizers_vq.quantizers.distributed import mean_over_ranks

_CHUNK_SCORES = 1 << 22  # scores alive at once: 16 MiB of float32
_SMALLEST = 1e-12


class Regulariser(Described, ABC):
    """A loss of latents and codebook."""

    @abstractmethod
    def __call__(self, x_ND: Tensor, weight_N: Tensor, codebook_KD: Tensor) -> Tensor:
        """Weighted scalar loss of latents, of weights that are 1 for rows that count, and of the codebook."""


@dataclass(frozen=True)
class Orthogonality(Regulariser):
    """Mean squared cosine between different codes.

    Shin, Lee and Kim, "Translation-equivariant Image Quantizer for Bi-directional Image-Text Generation" (2021),
    equation 2.
    """

    weight: float = 10.0

    def __call__(self, x_ND: Tensor, weight_N: Tensor, codebook_KD: Tensor) -> Tensor:
        """Weighted scalar loss of the codebook; the latents are not looked at."""
        unit_KD = nn.functional.normalize(codebook_KD, dim=1)
        # |E E'|^2 = |E' E|^2: a D x D matrix in place of K x K.
        total = (unit_KD.t() @ unit_KD).square().sum()
        num_codes = codebook_KD.shape[0]
        return self.weight * (total / num_codes**2 - 1 / num_codes)


@dataclass(frozen=True)
class SoftEntropy(Regulariser):
    """E[H(code | latent)] - diversity * H(E[code]) of a softmax over negative squared distances.

    Yu et al., "MAGVIT: Masked Generative Video Transformer" (2022), appendix; weight 0.1 and temperature 0.01 there.

    Attributes:
        weight: of the whole term.
        temperature: of the softmax.
        diversity: of the entropy of the mean against the mean entropy.
    """

    weight: float = 0.1
    temperature: float = 0.01
    diversity: float = 1.0

    def __call__(self, x_ND: Tensor, weight_N: Tensor, codebook_KD: Tensor) -> Tensor:
        """Weighted scalar loss; the (N, K) scores are made in chunks and made again for the gradient."""
        rows = max(1, _CHUNK_SCORES // codebook_KD.shape[0])
        entropy = x_ND.new_zeros(())
        total_K = x_ND.new_zeros(codebook_KD.shape[0])
        for start in range(0, x_ND.shape[0], rows):
            chunk = slice(start, start + rows)
            part, part_K = checkpoint(
                self._sums,
                x_ND[chunk],
                weight_N[chunk],
                codebook_KD,
                use_reentrant=False,
                preserve_rng_state=False,
            )
            entropy, total_K = entropy + part, total_K + part_K
        count = weight_N.sum()
        p_K = mean_over_ranks(total_K, count)
        spread = -(p_K * p_K.clamp(min=_SMALLEST).log()).sum()
        return self.weight * (entropy / count.clamp(min=1) - self.diversity * spread)

    def _sums(self, x_ND: Tensor, weight_N: Tensor, codebook_KD: Tensor) -> tuple[Tensor, Tensor]:
        """Summed entropies, and summed probabilities (K,), of some rows."""
        half_norm_K = -codebook_KD.square().sum(dim=1) / 2
        scores_NK = torch.addmm(half_norm_K, x_ND, codebook_KD.t()) * (2 / self.temperature)
        log_p_NK = scores_NK.log_softmax(dim=1)
        p_NK = log_p_NK.exp() * weight_N[:, None]
        return -(p_NK * log_p_NK).sum(), p_NK.sum(dim=0)
