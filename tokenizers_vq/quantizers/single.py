"""What quantizers with one codebook of vectors share."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tokenizers_vq.contract import Key
from tokenizers_vq.quantizers.base import Quantizer


class SingleCodebook(Quantizer):
    """One codebook of K vectors (K, dim), found by the nearest one.

    Args:
        codebook_size: number of codes K.
        dim: width of the latents.
        init: "kmeans" starts from the first training batch, "normal" from the standard normal distribution.
        seed: of the start and of revival.
        stream: names the random numbers, so that quantizers of other kinds with the same seed draw others.

    Raises:
        ValueError: sizes below 1, an unknown init.
    """

    codebook_KD: Tensor

    def __init__(self, codebook_size: int, dim: int, init: str, seed: int, stream: str) -> None:
        super().__init__()
        if codebook_size < 1 or dim < 1:
            raise ValueError(f"codebook_size={codebook_size} and dim={dim} must be at least 1")
        if init not in ("kmeans", "normal"):
            raise ValueError(f"init={init!r}: expected 'kmeans' or 'normal'")
        self.codebook_size, self.dim, self.num_codebooks = codebook_size, dim, 1
        self._uses_kmeans = init == "kmeans"
        self._seed = seed
        self._key = Key(seed).fold(stream)

    def normal_codes(self) -> Tensor:
        """(K, dim) codes of the standard normal distribution, by the seed."""
        generator = torch.Generator().manual_seed(self._seed)
        return torch.randn(self.codebook_size, self.dim, generator=generator)

    def decode(self, codes: Tensor) -> Tensor:
        """Code vectors (..., dim) of codes (..., 1)."""
        return nn.functional.embedding(codes[..., 0], self.codebook_KD)

    def code_vectors(self) -> Tensor:
        """(1, codebook_size, dim), detached."""
        return self.codebook_KD.detach()[None]
