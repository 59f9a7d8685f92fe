"""Finite scalar quantization: each channel is squashed and rounded to a few levels; nothing is looked up.

Mentzer et al., "Finite Scalar Quantization: VQ-VAE Made Simple" (2023).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from tokenizers_vq.contract import Quantized
from tokenizers_vq.quantizers.base import Quantizer
from tokenizers_vq.quantizers.usage import CodeUsage

_MAX_CODES = 1 << 24  # beyond it float32 cannot count codes one by one
_MARGIN = 1e-3  # so that the outermost levels are reached by finite latents
_ROWS = 32  # rows of a few channels are slow to broadcast over: that many are laid side by side


class FSQ(Quantizer):
    """A fixed grid of prod(levels) codes in [-1, 1]^dim; no auxiliary loss and no codebook to collapse.

    The gradient passes the rounding as if it were not there; that of the squashing stays.

    Args:
        levels: levels of each channel, e.g. (8, 5, 5, 5) for 1,000 codes or (8, 8, 8, 6, 5) for 15,360; channel 0
            is the lowest digit of a code.

    Raises:
        ValueError: no levels, fewer than 3 in a channel, or more than 2^24 codes.
    """

    shape_4D: Tensor
    basis_D: Tensor
    levels_D: Tensor

    def __init__(self, levels: Sequence[int]) -> None:
        super().__init__()
        if not levels or min(levels) < 3:
            raise ValueError(f"levels={tuple(levels)}: expected at least one channel and 3 levels in each")
        self.codebook_size = math.prod(levels)
        if self.codebook_size > _MAX_CODES:
            raise ValueError(
                f"levels={tuple(levels)} make {self.codebook_size} codes, expected at most 2^24; split the channels "
                "with GroupedQuantizer"
            )
        self.dim, self.num_codebooks = len(levels), 1
        levels_D = torch.tensor(levels)
        # An even number of levels has no level in the middle: half a step to the side there is one.
        offset_D = torch.where(levels_D % 2 == 0, 0.5, 0.0)
        half_D = (levels_D - 1) * (1 + _MARGIN) / 2
        shift_D = torch.atanh(offset_D / half_D)
        basis_D = torch.cat([torch.ones(1, dtype=torch.int64), levels_D.cumprod(0)[:-1]])
        self.register_buffer(
            "shape_4D", torch.stack([shift_D, half_D, offset_D, levels_D // 2]), persistent=False
        )
        self.register_buffer("basis_D", basis_D, persistent=False)
        self.register_buffer("levels_D", levels_D, persistent=False)
        self._middle_code = sum(int(size // 2 * basis) for size, basis in zip(levels_D, basis_D))
        self.usage = CodeUsage(self.codebook_size)

    def encode(self, latents: Tensor) -> Tensor:
        """Codes (..., 1) int64 of latents (..., dim)."""
        self.check_latents(latents)
        with torch.no_grad():
            wide, shape_4W = self._widen(latents)
            shift_W, half_W, offset_W, _ = shape_4W
            rounded = (wide + shift_W).tanh_().mul_(half_W).sub_(offset_W).round_()
            return self._index(rounded.view(latents.shape))

    def decode(self, codes: Tensor) -> Tensor:
        """Grid points (..., dim) float32 of codes (..., 1)."""
        half_width_D = self.shape_4D[3]
        return (codes // self.basis_D % self.levels_D - half_width_D) / half_width_D

    def forward(self, latents: Tensor, is_valid: Tensor | None = None) -> Quantized:
        """Squash and round; the loss is 0. Metrics: usage, perplexity, dead (see CodeUsage)."""
        self.check_latents(latents, is_valid)
        wide, shape_4W = self._widen(latents)
        rounded = _SquashAndRound.apply(wide, shape_4W)
        codes = self._index(rounded.detach().view(latents.shape))
        if self.training:
            self.usage.update(codes, is_valid)
        quantized = rounded.div_(shape_4W[3]).view(latents.shape).to(latents.dtype)
        return Quantized(quantized, codes, latents.new_zeros(()), self.usage.metrics())

    def _widen(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """The latents as rows of several positions, float32, and the constants of such a row."""
        count = math.gcd(latents.numel() // self.dim, _ROWS)
        return latents.float().reshape(-1, count * self.dim), self.shape_4D.repeat(1, count)

    def _index(self, rounded: Tensor) -> Tensor:
        # Sums of whole numbers below 2^24 are exact in float32, but not in autocast's bfloat16.
        with torch.autocast(rounded.device.type, enabled=False):
            return (rounded @ self.basis_D.float()).add_(self._middle_code).long()[..., None]


class _SquashAndRound(torch.autograd.Function):
    """Whole-numbered levels; the gradient is that of the squashing alone."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, shape_4W: Tensor) -> Tensor:
        shift_W, half_W, offset_W, _ = shape_4W
        squashed = (x + shift_W).tanh_()
        ctx.save_for_backward(squashed, half_W)
        return (squashed * half_W).sub_(offset_W).round_()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None]:
        squashed, half_W = ctx.saved_tensors
        return torch.ops.aten.tanh_backward(grad_outputs[0], squashed).mul_(half_W), None
