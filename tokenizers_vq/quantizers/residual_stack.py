"""Levels of quantizers, each of which codes what the ones before it left."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tokenizers_vq.contract import Key, Quantized
from tokenizers_vq.quantizers.base import Quantizer
from tokenizers_vq.quantizers.dropout import kept_levels
from tokenizers_vq.quantizers.grouped import numbered


class ResidualStack(Quantizer):
    """The latents of the levels add up; subclasses say how the gradient passes them.

    Args:
        levels: quantizers of one width and codebook size, of one codebook each; a single one for all where
            `num_codebooks` says more.
        num_codebooks: levels Q.
        quantizer_dropout: share of the samples (first axis of the latents) that keep only a uniformly drawn number
            of first levels in training, so that the first levels suffice alone.
        key: of the dropout.

    Raises:
        ValueError: quantizer_dropout outside [0, 1].
    """

    num_updates: Tensor

    def __init__(
        self, levels: Sequence[Quantizer], num_codebooks: int, quantizer_dropout: float, key: Key
    ) -> None:
        super().__init__()
        if not 0 <= quantizer_dropout <= 1:
            raise ValueError(f"quantizer_dropout={quantizer_dropout}: expected a share between 0 and 1")
        self.dim, self.codebook_size = levels[0].dim, levels[0].codebook_size
        self.num_codebooks, self.quantizer_dropout, self._key = num_codebooks, quantizer_dropout, key
        self.levels = nn.ModuleList(levels)
        self.register_buffer("num_updates", torch.zeros((), dtype=torch.int64))

    @abstractmethod
    def quantize_level(self, level: Quantizer, residual: Tensor, is_valid: Tensor | None) -> Quantized:
        """What one level makes of the residual (..., dim) float32."""

    @abstractmethod
    def join(self, latents: Tensor, total: Tensor) -> Tensor:
        """The output, of the latents' dtype, of the sum (..., dim) float32 of the levels' latents."""

    @torch.no_grad()
    def encode(self, latents: Tensor) -> Tensor:
        """Codes (..., Q) int64 of latents (..., dim)."""
        self.check_latents(latents)
        residual, codes = latents.float().clone(), []
        for level in self._levels():
            codes.append(level.encode(residual))
            residual -= level.decode(codes[-1])
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
        first, *rest = (level.decode(code) for level, code in zip(self._levels(), codes.split(1, dim=-1)))
        return sum(rest, start=first)

    def forward(self, latents: Tensor, is_valid: Tensor | None = None) -> Quantized:
        """Quantize level by level; the loss is the levels' mean, metrics have "/level" appended."""
        self.check_latents(latents, is_valid)
        depth = self._depth(latents)
        residual = latents.float()
        total, loss = torch.zeros_like(residual), residual.new_zeros(())
        codes: list[Tensor] = []
        metrics: dict[str, Tensor] = {}
        for index, level in enumerate(self._levels()):
            is_kept = is_valid
            if depth is not None:
                is_kept = depth > index if is_valid is None else is_valid & (depth > index)
            out = self.quantize_level(level, residual, is_kept)
            vectors = out.latents if depth is None else out.latents * (depth > index)[..., None]
            residual, total = residual - vectors, total + vectors
            loss = loss + out.loss / self.num_codebooks
            codes.append(out.codes)
            metrics |= numbered(out.metrics, index)
        return Quantized(self.join(latents, total), torch.cat(codes, dim=-1), loss, metrics)

    def _levels(self) -> list[Quantizer]:
        levels = [level for level in self.levels if isinstance(level, Quantizer)]
        return levels if len(levels) == self.num_codebooks else levels * self.num_codebooks

    def _depth(self, latents: Tensor) -> Tensor | None:
        """Levels that each position keeps: (...) int64, the same within a sample; None where all keep all."""
        if not self.training or self.quantizer_dropout == 0:
            return None
        self.num_updates += 1
        return kept_levels(latents, self.num_codebooks, self.quantizer_dropout, self._key, self.num_updates)
