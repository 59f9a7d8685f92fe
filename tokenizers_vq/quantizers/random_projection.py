"""Frozen random projection and codebook: codes without any training.

Chiu et al., "Self-supervised Learning with Random-projection Quantizer for Speech Recognition" (BEST-RQ, 2022).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tokenizers_vq.contract import Quantized
from tokenizers_vq.quantizers.base import Quantizer, straight_through
from tokenizers_vq.quantizers.lookup import nearest_code
from tokenizers_vq.quantizers.usage import CodeUsage


class RandomProjectionQuantizer(Quantizer):
    """Targets for masked modelling (BEST-RQ, BEATs' first iteration); nothing in it learns.

    Latents are standardised over their channels, projected at random, and take the code nearest in direction.

    Args:
        codebook_size: codes K of each codebook.
        dim: width of the latents.
        codebook_dim: width that is projected to.
        num_codebooks: codebooks Q, each with a projection of its own.
        seed: of projections and codebooks.

    Raises:
        ValueError: sizes below 1.
    """

    projection_QDE: Tensor
    codebook_QKE: Tensor
    lift_QED: Tensor

    def __init__(
        self, codebook_size: int, dim: int, codebook_dim: int = 16, num_codebooks: int = 1, seed: int = 0
    ) -> None:
        super().__init__()
        sizes = {
            "codebook_size": codebook_size,
            "dim": dim,
            "codebook_dim": codebook_dim,
            "num_codebooks": num_codebooks,
        }
        for name, size in sizes.items():
            if size < 1:
                raise ValueError(f"{name}={size} must be at least 1")
        self.codebook_size, self.dim, self.num_codebooks = codebook_size, dim, num_codebooks
        generator = torch.Generator().manual_seed(seed)
        # Xavier's standard deviation.
        projection_QDE = torch.randn(num_codebooks, dim, codebook_dim, generator=generator)
        projection_QDE *= (2 / (dim + codebook_dim)) ** 0.5
        codebook_QKE = torch.randn(num_codebooks, codebook_size, codebook_dim, generator=generator)
        self.register_buffer("projection_QDE", projection_QDE)
        self.register_buffer("lift_QED", torch.linalg.pinv(projection_QDE))
        self.register_buffer("codebook_QKE", nn.functional.normalize(codebook_QKE, dim=2))
        self.usage = CodeUsage(codebook_size, num_codebooks)

    def encode(self, latents: Tensor) -> Tensor:
        """Codes (..., Q) int64 of latents (..., dim)."""
        self.check_latents(latents)
        with torch.no_grad(), torch.autocast(latents.device.type, enabled=False):
            x_ND = nn.functional.layer_norm(latents.reshape(-1, self.dim).float(), (self.dim,))
            unit_QNE = nn.functional.normalize(x_ND @ self.projection_QDE, dim=2)
            codes = [nearest_code(unit_NE, book_KE) for unit_NE, book_KE in zip(unit_QNE, self.codebook_QKE)]
        return torch.stack(codes, dim=-1).reshape(*latents.shape[:-1], self.num_codebooks)

    def decode(self, codes: Tensor) -> Tensor:
        """The shortest latents (..., dim) that the codes' directions are projections of, averaged over codebooks.

        A hint of the input, not a reconstruction: the projection has lost the rest.
        """
        books = zip(self.codebook_QKE, self.lift_QED)
        parts = [book_KE[codes[..., q]] @ lift_ED for q, (book_KE, lift_ED) in enumerate(books)]
        return torch.stack(parts).mean(dim=0)

    def forward(self, latents: Tensor, is_valid: Tensor | None = None) -> Quantized:
        """Codes and what they decode to, straight-through gradient; the loss is 0.

        Metrics: usage, perplexity, dead (see CodeUsage).
        """
        self.check_latents(latents, is_valid)
        codes = self.encode(latents)
        if self.training:
            self.usage.update(codes, is_valid)
        quantized = self.decode(codes).to(latents.dtype)
        return Quantized(
            straight_through(latents, quantized), codes, latents.new_zeros(()), self.usage.metrics()
        )

    def code_vectors(self) -> Tensor:
        """(Q, codebook_size, codebook_dim) unit vectors."""
        return self.codebook_QKE
