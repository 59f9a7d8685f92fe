"""Residual vector quantization: each codebook codes what the ones before it left.

Zeghidour et al., "SoundStream" (2021); Defossez et al., "High Fidelity Neural Audio Compression" (2022).
"""

from __future__ import annotations

import torch
from torch import Tensor

from tokenizers_vq.contract import Key, Quantized
from tokenizers_vq.quantizers.base import Quantizer, straight_through
from tokenizers_vq.quantizers.residual_stack import ResidualStack
from tokenizers_vq.quantizers.vq import VectorQuantizer


class ResidualVQ(ResidualStack):
    """A stack of codebooks whose vectors add up; one codebook is plain vector quantization.

    The gradient passes straight through once, on the sum: once a level would distort it.

    Args:
        num_codebooks: levels Q.
        codebook_size: codes a level.
        dim: width of the latents.
        decay, commitment, init, revive_below: of each level, see VectorQuantizer; the commitment losses are averaged.
        quantizer_dropout: share of the samples (first axis of the latents) that keep only a uniformly drawn number
            of first levels in training, so that the first levels suffice alone.
        seed: of start, revival and dropout; each level has its own.
        shares_codebook: all levels use one codebook, which learns from each in turn.

    Raises:
        ValueError: num_codebooks below 1, quantizer_dropout outside [0, 1].
    """

    def __init__(
        self,
        num_codebooks: int,
        codebook_size: int,
        dim: int,
        decay: float = 0.99,
        commitment: float = 0.25,
        init: str = "kmeans",
        revive_below: float = 0.1,
        quantizer_dropout: float = 0.0,
        seed: int = 0,
        shares_codebook: bool = False,
    ) -> None:
        if num_codebooks < 1:
            raise ValueError(f"num_codebooks={num_codebooks} must be at least 1")
        levels = [
            VectorQuantizer(
                codebook_size, dim, decay, commitment, init, revive_below, seed=seed * 1000 + level
            )
            for level in range(1 if shares_codebook else num_codebooks)
        ]
        super().__init__(levels, num_codebooks, quantizer_dropout, Key(seed).fold("residual"))

    def quantize_level(self, level: Quantizer, residual: Tensor, is_valid: Tensor | None) -> Quantized:
        """Bare code vectors, without gradient; the level's commitment reaches the latents."""
        assert isinstance(level, VectorQuantizer)
        return level.assign(residual, is_valid)

    def join(self, latents: Tensor, total: Tensor) -> Tensor:
        """The sum, with the gradient of the latents."""
        return straight_through(latents, total.to(latents.dtype))

    def code_vectors(self) -> Tensor:
        """(Q, codebook_size, dim), detached."""
        levels = (level for level in self._levels() if isinstance(level, VectorQuantizer))
        return torch.stack([level.codebook_KD.detach() for level in levels])
