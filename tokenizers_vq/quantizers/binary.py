"""What quantizers to the sign of each channel share: codes by bits, sub-ids, losses."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor

from tokenizers_vq.contract import Quantized
from tokenizers_vq.quantizers.base import Quantizer, straight_through
from tokenizers_vq.quantizers.bits import BitEntropy
from tokenizers_vq.quantizers.usage import CodeUsage

_MAX_BITS = 24  # usage and exact entropies hold a number for each code


class BinaryQuantizer(Quantizer):
    """Codes are the corners of {-scale, scale}^dim; bit i of a code is the sign of channel i.

    With several codebooks, the bits are dealt out in equal runs, the lowest bits to codebook 0: a transformer then
    predicts sub-ids of 2^(dim / num_codebooks) codes in place of one id of 2^dim. Entropies are those of whole ids.

    Args:
        dim: channels, each one bit.
        num_codebooks: sub-ids Q.
        scale: half the edge of the cube.
        entropy: the entropy terms; a weight of 0 leaves them out.
        commitment: weight of the loss that draws latents to their corners.

    Raises:
        ValueError: dim below 1 or not divisible by num_codebooks, more than 24 bits in a codebook, or an
            entropy over more than 24 bits at once.
    """

    powers_S: Tensor

    def __init__(
        self, dim: int, num_codebooks: int, scale: float, entropy: BitEntropy, commitment: float
    ) -> None:
        super().__init__()
        if dim < 1 or num_codebooks < 1 or dim % num_codebooks:
            raise ValueError(f"dim={dim} bits do not divide into num_codebooks={num_codebooks} equal sub-ids")
        bits = dim // num_codebooks
        if bits > _MAX_BITS:
            raise ValueError(f"{bits} bits a codebook, expected at most {_MAX_BITS}; raise num_codebooks")
        if entropy.weight and (entropy.group_bits or dim) > _MAX_BITS:
            raise ValueError(
                f"entropy over {entropy.group_bits or dim} bits at once, expected at most {_MAX_BITS}; "
                "set BitEntropy(group_bits=...)"
            )
        self.dim, self.num_codebooks, self.codebook_size = dim, num_codebooks, 1 << bits
        self.scale, self.entropy, self.commitment = scale, entropy, commitment
        self.register_buffer("powers_S", 1 << torch.arange(bits), persistent=False)
        self.usage = CodeUsage(self.codebook_size, num_codebooks)

    @abstractmethod
    def place(self, latents: Tensor) -> Tensor:
        """Latents (..., dim), brought to where their corners lie."""

    def encode(self, latents: Tensor) -> Tensor:
        """Codes (..., Q) int64 of latents (..., dim)."""
        self.check_latents(latents)
        return self._codes(latents)

    def decode(self, codes: Tensor) -> Tensor:
        """Corners (..., dim) float32 of codes (..., Q)."""
        is_on = (codes[..., None] & self.powers_S) != 0
        return torch.where(is_on, self.scale, -self.scale).flatten(start_dim=-2)

    def forward(self, latents: Tensor, is_valid: Tensor | None = None) -> Quantized:
        """Sign of each channel, straight-through gradient. Metrics: usage, perplexity, dead (see CodeUsage).

        The entropy terms are part of the loss in training mode alone: they are taken over the batches of all ranks,
        which in validation may be of unequal number.
        """
        self.check_latents(latents, is_valid)
        placed = self.place(latents)
        quantized = torch.where(placed.detach() > 0, self.scale, -self.scale).to(latents.dtype)
        codes = self._codes(latents)
        x_NB = placed.reshape(-1, self.dim).float()
        weight_N = x_NB.new_ones(x_NB.shape[0]) if is_valid is None else is_valid.reshape(-1).float()
        loss = x_NB.new_zeros(())
        if self.commitment:
            error_N = (x_NB - quantized.reshape(-1, self.dim)).square().mean(dim=1)
            loss = loss + self.commitment * (error_N * weight_N).sum() / weight_N.sum().clamp(min=1)
        if self.entropy.weight and self.training:
            with torch.autocast(x_NB.device.type, enabled=False):
                loss = loss + self.entropy(x_NB, weight_N, self.scale)
        if self.training:
            self.usage.update(codes, is_valid)
        return Quantized(straight_through(placed, quantized), codes, loss, self.usage.metrics())

    def _codes(self, latents: Tensor) -> Tensor:
        is_on = (latents.detach() > 0).unflatten(-1, (self.num_codebooks, -1))
        # Sums of distinct powers of two below 2^24 are exact in float32, but not in autocast's bfloat16.
        with torch.autocast(latents.device.type, enabled=False):
            return (is_on.float() @ self.powers_S.float()).long()
