"""Residual quantization with levels of any kind.

Kumar et al., "High-Fidelity Audio Compression with Improved RVQGAN" (DAC, 2023), where each level looks up in few
dimensions.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tokenizers_vq.contract import Key, Quantized
from tokenizers_vq.quantizers.base import Quantizer
from tokenizers_vq.quantizers.dropout import kept_levels
from tokenizers_vq.quantizers.grouped import numbered


class ResidualQuantizer(Quantizer):
    """Each level quantizes what the levels before it left; their latents add up.

    The gradient runs through the chain of residuals. Where a level passes it straight through, the next level's share
    of it cancels, so that the sum passes it once. ResidualVQ is the form for EMA codebooks, in which besides the
    commitment of every level reaches the latents.

    Args:
        levels: quantizers of one width and codebook size, of one codebook each; give each its own seed. DAC's are
            `ProjectedQuantizer(1024, GradientVQ(1024, 8, metric="cosine", seed=...))`.
        quantizer_dropout: share of the samples that keep only a uniformly drawn number of first levels in training.
        seed: of the dropout.

    Raises:
        ValueError: no levels, levels that differ in width or codebook size or have several codebooks,
            quantizer_dropout outside [0, 1].
    """

    num_updates: Tensor

    def __init__(self, levels: Sequence[Quantizer], quantizer_dropout: float = 0.0, seed: int = 0) -> None:
        super().__init__()
        kinds = {(level.dim, level.codebook_size, level.num_codebooks) for level in levels}
        if len(kinds) != 1 or next(iter(kinds))[2] != 1:
            raise ValueError(
                f"levels of (dim, codebook_size, num_codebooks) {sorted(kinds)}: expected at least one, all alike, "
                "with one codebook each"
            )
        if not 0 <= quantizer_dropout <= 1:
            raise ValueError(f"quantizer_dropout={quantizer_dropout}: expected a share between 0 and 1")
        self.dim, self.codebook_size, _ = kinds.pop()
        self.num_codebooks, self.quantizer_dropout = len(levels), quantizer_dropout
        self._key = Key(seed).fold("residual quantizer")
        self.levels = nn.ModuleList(levels)
        self.register_buffer("num_updates", torch.zeros((), dtype=torch.int64))

    def encode(self, latents: Tensor) -> Tensor:
        """Codes (..., Q) int64 of latents (..., dim)."""
        self.check_latents(latents)
        residual, codes = latents.float(), []
        with torch.no_grad():
            for level in self._levels():
                codes.append(level.encode(residual))
                residual = residual - level.decode(codes[-1]).float()
        return torch.cat(codes, dim=-1)

    @property
    def fewest_codebooks(self) -> int:
        """1: levels add up."""
        return 1

    def decode(self, codes: Tensor) -> Tensor:
        """Summed latents (..., dim) of codes (..., q), q <= Q: the first q levels alone where q < Q."""
        if not 1 <= codes.shape[-1] <= self.num_codebooks:
            raise ValueError(
                f"codes of shape {tuple(codes.shape)}: expected 1 to {self.num_codebooks} codebooks last"
            )
        parts = [level.decode(code) for level, code in zip(self._levels(), codes.split(1, dim=-1))]
        return torch.stack(parts).sum(dim=0)

    def forward(self, latents: Tensor, is_valid: Tensor | None = None) -> Quantized:
        """Quantize level by level; the loss is the levels' mean, metrics have "/level" appended."""
        self.check_latents(latents, is_valid)
        depth = None
        if self.training and self.quantizer_dropout > 0:
            self.num_updates += 1
            depth = kept_levels(
                latents, self.num_codebooks, self.quantizer_dropout, self._key, self.num_updates
            )
        residual, loss = latents.float(), latents.new_zeros((), dtype=torch.float32)
        total = torch.zeros_like(residual)
        codes: list[Tensor] = []
        metrics: dict[str, Tensor] = {}
        for index, level in enumerate(self._levels()):
            is_kept = is_valid
            if depth is not None:
                is_kept = depth > index if is_valid is None else is_valid & (depth > index)
            out = level(residual, is_kept)
            vectors = out.latents if depth is None else out.latents * (depth > index)[..., None]
            residual, total = residual - vectors, total + vectors
            loss = loss + out.loss / self.num_codebooks
            codes.append(out.codes)
            metrics |= numbered(out.metrics, index)
        return Quantized(total.to(latents.dtype), torch.cat(codes, dim=-1), loss, metrics)

    def _levels(self) -> list[Quantizer]:
        return [level for level in self.levels if isinstance(level, Quantizer)]
