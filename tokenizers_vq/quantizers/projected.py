"""Lookup in few dimensions: project down, quantize there, project up.

Yu et al., "Vector-quantized Image Modeling with Improved VQGAN" (2021), section 3.2; used so by Phenaki and DAC.
"""

from __future__ import annotations

from torch import Tensor, nn

from tokenizers_vq.contract import Quantized
from tokenizers_vq.quantizers.base import Quantizer


class ProjectedQuantizer(Quantizer):
    """Any quantizer for latents of another width; the gradient passes both projections.

    DAC's level is `ProjectedQuantizer(1024, GradientVQ(1024, 8, metric="cosine"))`, Phenaki's and VQ-KD's codebook
    `ProjectedQuantizer(768, CosineVQ(8192, 32))`, MAGVIT-v2's `ProjectedQuantizer(512, LFQ(18))`.

    Args:
        dim: width of the latents.
        quantizer: works on the projected latents.
        project_in: module (..., dim) -> (..., quantizer.dim), by default a linear layer.
        project_out: module (..., quantizer.dim) -> (..., dim), by default a linear layer.
    """

    def __init__(
        self,
        dim: int,
        quantizer: Quantizer,
        project_in: nn.Module | None = None,
        project_out: nn.Module | None = None,
    ) -> None:
        super().__init__()
        if dim < 1:
            raise ValueError(f"dim={dim} must be at least 1")
        self.dim, self.num_codebooks = dim, quantizer.num_codebooks
        self.codebook_size = quantizer.codebook_size
        self.quantizer = quantizer
        self.project_in = nn.Linear(dim, quantizer.dim) if project_in is None else project_in
        self.project_out = nn.Linear(quantizer.dim, dim) if project_out is None else project_out

    def encode(self, latents: Tensor) -> Tensor:
        """Codes (..., Q) int64 of latents (..., dim)."""
        self.check_latents(latents)
        return self.quantizer.encode(self.project_in(latents))

    @property
    def fewest_codebooks(self) -> int:
        """As the quantizer within."""
        return self.quantizer.fewest_codebooks

    def decode(self, codes: Tensor) -> Tensor:
        """Latents (..., dim) of codes (..., Q)."""
        return self.project_out(self.quantizer.decode(codes))

    def forward(self, latents: Tensor, is_valid: Tensor | None = None) -> Quantized:
        """Project, quantize, project back; loss and metrics are those of the quantizer within."""
        self.check_latents(latents, is_valid)
        out = self.quantizer(self.project_in(latents), is_valid)
        return Quantized(self.project_out(out.latents), out.codes, out.loss, out.metrics)
