"""The one interface of every quantizer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from itertools import chain

import torch
from torch import Tensor, nn

from tokenizers_vq.contract import Described, Quantized


def straight_through(latents: Tensor, quantized: Tensor) -> Tensor:
    """`quantized` in value, with the gradient of `latents` (Bengio et al., 2013)."""
    return latents + (quantized - latents).detach()


class Quantizer(Described, nn.Module, ABC):
    """Maps latents (..., dim) to codes (..., num_codebooks) and back; channels lie last.

    Attributes:
        dim: width of the latents.
        codebook_size: number of codes in each codebook.
        num_codebooks: codes at one position.
    """

    dim: int
    codebook_size: int
    num_codebooks: int

    @abstractmethod
    def forward(self, latents: Tensor, is_valid: Tensor | None = None) -> Quantized:
        """Quantize, and in training mode learn.

        Args:
            latents: (..., dim) float.
            is_valid: (...) bool, False at padding: quantized as well, but kept out of loss and statistics.

        Raises:
            ValueError: latents of another width, or is_valid of another shape.
        """

    @abstractmethod
    def encode(self, latents: Tensor) -> Tensor:
        """Codes (..., num_codebooks) int64 of latents (..., dim); never learns.

        Raises:
            ValueError: latents of another width.
        """

    @abstractmethod
    def decode(self, codes: Tensor) -> Tensor:
        """Latents (..., dim) of codes (..., num_codebooks) int64; fewer codebooks where `fewest_codebooks` says so."""

    @property
    def fewest_codebooks(self) -> int:
        """How many of the first codebooks `decode` needs: all of them, but 1 where levels add up."""
        return self.num_codebooks

    @torch.no_grad()
    def code_vectors(self) -> Tensor | None:
        """(Q, codebook_size, dim) vectors behind the codes; None where those of several codebooks mix."""
        if self.num_codebooks > 1:
            return None
        device = next((t.device for t in chain(self.parameters(), self.buffers())), None)
        return self.decode(torch.arange(self.codebook_size, device=device)[:, None])[None]

    def check_latents(self, latents: Tensor, is_valid: Tensor | None = None) -> None:
        """Raise ValueError unless latents are (..., dim) and is_valid, where given, is (...)."""
        if latents.shape[-1] != self.dim:
            raise ValueError(
                f"latents of shape {tuple(latents.shape)}, expected (..., {self.dim}): channels last"
            )
        if is_valid is not None and is_valid.shape != latents.shape[:-1]:
            raise ValueError(
                f"is_valid of shape {tuple(is_valid.shape)}, expected {tuple(latents.shape[:-1])}, one a position"
            )
