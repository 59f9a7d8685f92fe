"""Residual vector quantization: each codebook codes what the ones before it left.

Zeghidour et al., "SoundStream" (2021); Defossez et al., "High Fidelity Neural Audio Compression" (2022).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tokenizers_vq.contract import Key, Quantized
from tokenizers_vq.quantizers.base import Quantizer, straight_through
from tokenizers_vq.quantizers.dropout import kept_levels
from tokenizers_vq.quantizers.vq import VectorQuantizer


class ResidualVQ(Quantizer):
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

    num_updates: Tensor

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
        super().__init__()
        if num_codebooks < 1:
            raise ValueError(f"num_codebooks={num_codebooks} must be at least 1")
        if not 0 <= quantizer_dropout <= 1:
            raise ValueError(f"quantizer_dropout={quantizer_dropout}: expected a share between 0 and 1")
        self.num_codebooks, self.codebook_size, self.dim = num_codebooks, codebook_size, dim
        self.quantizer_dropout = quantizer_dropout
        self._key = Key(seed).fold("residual")
        self.levels = nn.ModuleList(
            VectorQuantizer(
                codebook_size, dim, decay, commitment, init, revive_below, seed=seed * 1000 + level
            )
            for level in range(1 if shares_codebook else num_codebooks)
        )
        self.register_buffer("num_updates", torch.zeros((), dtype=torch.int64))

    def encode(self, latents: Tensor) -> Tensor:
        """Codes (..., Q) int64 of latents (..., dim)."""
        self.check_latents(latents)
        residual, codes = latents.detach().float().clone(), []
        for level in self._levels():
            codes.append(level.encode(residual))
            residual -= level.decode(codes[-1])
        return torch.cat(codes, dim=-1)

    @property
    def fewest_codebooks(self) -> int:
        """1: levels add up."""
        return 1

    def decode(self, codes: Tensor) -> Tensor:
        """Summed code vectors (..., dim) of codes (..., q), q <= Q: the first q levels alone where q < Q."""
        if not 1 <= codes.shape[-1] <= self.num_codebooks:
            raise ValueError(
                f"codes of shape {tuple(codes.shape)}: expected 1 to {self.num_codebooks} codebooks last"
            )
        first, *rest = codes.split(1, dim=-1)
        levels = self._levels()
        latents = levels[0].decode(first)
        for level, code in zip(levels[1:], rest):
            latents = latents + level.decode(code)
        return latents

    def forward(self, latents: Tensor, is_valid: Tensor | None = None) -> Quantized:
        """Quantize level by level; metrics are those of VectorQuantizer with "/level" appended."""
        self.check_latents(latents, is_valid)
        depth = self._depth(latents)
        residual, total, loss = latents, torch.zeros_like(latents), latents.new_zeros(())
        codes: list[Tensor] = []
        metrics: dict[str, Tensor] = {}
        for index, level in enumerate(self._levels()):
            is_kept = is_valid
            if depth is not None:
                is_kept = depth > index if is_valid is None else is_valid & (depth > index)
            out = level.assign(residual, is_kept)
            vectors = out.latents if depth is None else out.latents * (depth > index)[..., None]
            residual, total = residual - vectors, total + vectors
            loss = loss + out.loss / self.num_codebooks
            codes.append(out.codes)
            metrics |= {f"{name}/{index}": value for name, value in out.metrics.items()}
        return Quantized(straight_through(latents, total), torch.cat(codes, dim=-1), loss, metrics)

    def code_vectors(self) -> Tensor:
        """(Q, codebook_size, dim), detached."""
        return torch.stack([level.codebook_KD.detach() for level in self._levels()])

    def _levels(self) -> list[VectorQuantizer]:
        levels = [level for level in self.levels if isinstance(level, VectorQuantizer)]
        return levels if len(levels) == self.num_codebooks else levels * self.num_codebooks

    def _depth(self, latents: Tensor) -> Tensor | None:
        """Levels that each position keeps: (...) int64, the same within a sample; None where all keep all."""
        if not self.training or self.quantizer_dropout == 0:
            return None
        self.num_updates += 1
        return kept_levels(latents, self.num_codebooks, self.quantizer_dropout, self._key, self.num_updates)
