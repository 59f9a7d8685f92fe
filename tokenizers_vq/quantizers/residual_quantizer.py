"""Residual quantization with levels of any kind.

Kumar et al., "High-Fidelity Audio Compression with Improved RVQGAN" (DAC, 2023), where each level looks up in few
dimensions.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from tokenizers_vq.contract import Key, Quantized
from tokenizers_vq.quantizers.base import Quantizer
from tokenizers_vq.quantizers.residual_stack import ResidualStack


class ResidualQuantizer(ResidualStack):
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

    def __init__(self, levels: Sequence[Quantizer], quantizer_dropout: float = 0.0, seed: int = 0) -> None:
        kinds = {(level.dim, level.codebook_size, level.num_codebooks) for level in levels}
        if len(kinds) != 1 or next(iter(kinds))[2] != 1:
            raise ValueError(
                f"levels of (dim, codebook_size, num_codebooks) {sorted(kinds)}: expected at least one, all alike, "
                "with one codebook each"
            )
        super().__init__(levels, len(levels), quantizer_dropout, Key(seed).fold("residual quantizer"))

    def quantize_level(self, level: Quantizer, residual: Tensor, is_valid: Tensor | None) -> Quantized:
        """As the level does, with its gradient."""
        out: Quantized = level(residual, is_valid)
        return out

    def join(self, latents: Tensor, total: Tensor) -> Tensor:
        """The sum."""
        return total.to(latents.dtype)
