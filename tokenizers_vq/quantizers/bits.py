"""Entropies of codes whose bits are drawn independently, without a row over all codes for each position.

The softmax over the 2^n corners of a cube of the similarity to a latent is a product of n Bernoulli distributions
(Zhao, Xiong and Kraehenbuehl, "Image and Video Tokenization with Binary Spherical Quantization", 2024, section 4.2).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tokenizers_vq.contract import Described
from tokenizers_vq.quantizers.distributed import mean_over_ranks

_SMALLEST = 1e-12  # probabilities below it count as it, to keep the gradient of p log p finite


class BitEntropy(Described):
    """Weight of E[H(code | latent)] - diversity * H(E[code]): sure of each code, and all codes used alike.

    Yu et al., "Language Model Beats Diffusion: Tokenizer is Key to Visual Generation" (2023), equation 5.

    Args:
        weight: of the whole term.
        diversity: of the entropy of the mean against the mean entropy (gamma).
        inverse_temperature: of the softmax over codes.
        group_bits: None computes H(E[code]) exactly over all codes; n takes groups of n bits as independent,
            an upper bound whose cost does not grow with the number of codes.

    Raises:
        ValueError: group_bits below 1.
    """

    def __init__(
        self,
        weight: float = 0.1,
        diversity: float = 1.0,
        inverse_temperature: float = 100.0,
        group_bits: int | None = None,
    ) -> None:
        if group_bits is not None and group_bits < 1:
            raise ValueError(f"group_bits={group_bits}: expected at least 1, or None for all bits")
        self.weight, self.diversity = weight, diversity
        self.inverse_temperature, self.group_bits = inverse_temperature, group_bits

    def __call__(self, x_NB: Tensor, weight_N: Tensor, scale: float) -> Tensor:
        """Weighted scalar loss.

        Args:
            x_NB: latents, float32, one channel a bit.
            weight_N: float32, 1 for rows that count, 0 for padding.
            scale: codes are the corners of {-scale, scale}^B.
        """
        # Similarity 2 x.c, as the squared distance has it; between both corners of a bit it differs by 4 x scale.
        logits_NB = x_NB * (4 * self.inverse_temperature * scale)
        sure = (bit_entropy(logits_NB).sum(dim=1) * weight_N).sum() / weight_N.sum().clamp(min=1)
        spread = codebook_entropy(torch.sigmoid(logits_NB), weight_N, self.group_bits)
        return self.weight * (sure - self.diversity * spread)


def bit_entropy(logits: Tensor) -> Tensor:
    """Entropy in nats of Bernoulli distributions with these logits, exact to the far tails."""
    size = logits.abs()
    return nn.functional.softplus(-size) + size * torch.sigmoid(-size)


def code_probabilities(p_NB: Tensor) -> Tensor:
    """(N, 2^B) probability of every code of independent bits with P(bit = 1) = p_NB; bit 0 is the lowest."""
    p_NK = p_NB.new_ones(p_NB.shape[0], 1)
    for bit in range(p_NB.shape[1]):
        p_N1 = p_NB[:, bit : bit + 1]
        p_NK = torch.cat([p_NK * (1 - p_N1), p_NK * p_N1], dim=1)
    return p_NK


def codebook_entropy(p_NB: Tensor, weight_N: Tensor, group_bits: int | None = None) -> Tensor:
    """Entropy in nats of the mean code distribution over all rows of weight 1 and all ranks.

    Args:
        p_NB: P(bit = 1), float32.
        weight_N: float32, 1 for rows that count.
        group_bits: size of the groups of bits that are taken as independent; None is exact.
    """
    groups = [p_NB] if group_bits is None else list(p_NB.split(group_bits, dim=1))
    entropies = []
    for p_NG in groups:
        # The code is a pair of half codes: the sum over positions of their outer products is one matrix product,
        # (2^(G/2), N) x (N, 2^(G/2)), and nothing of size N x 2^G is made.
        low_NL, high_NH = (code_probabilities(half) for half in p_NG.tensor_split(2, dim=1))
        total_HL = (high_NH * weight_N[:, None]).t() @ low_NL
        p_HL = mean_over_ranks(total_HL, weight_N.sum())
        entropies.append(-(p_HL * p_HL.clamp(min=_SMALLEST).log()).sum())
    return torch.stack(entropies).sum()
