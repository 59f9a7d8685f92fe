"""Vectors that another model made, handed to the transformer as they are (frozen text or speaker embeddings)."""

from __future__ import annotations

from typing import Any, ClassVar, NoReturn

import torch
from torch import Tensor

from tokenizers_vq.checks import check_float
from tokenizers_vq.contract import Codes, Tokenizer, TokenSpec


class FrozenVectors(Tokenizer):
    """Positions with continuous inputs alone: no codes, so they are conditions and features, never generated.

    Media "vectors": (B, C) float where max_length is None, one vector a sample; else a list of (T, C), one a sample.

    Args:
        width: C.
        max_length: longest T; None for one vector a sample.

    Raises:
        ValueError: a width or length below 1.
    """

    media: ClassVar[str] = "vectors"

    def __init__(self, width: int, max_length: int | None = None) -> None:
        super().__init__()
        if width < 1 or (max_length is not None and max_length < 1):
            raise ValueError(f"width={width}, max_length={max_length}: expected at least 1")
        self.width, self.max_length = width, max_length

    @property
    def spec(self) -> TokenSpec:
        """No codebooks; a varying "t" axis, or none."""
        axes = () if self.max_length is None else ("t",)
        return TokenSpec(0, 0, axes, max_length=self.max_length)

    def encode(self, media: Any, lengths: Tensor | None = None) -> Codes:
        """Codes without codebooks, (B, 0) or a list of (T, 0): they say how many positions there are.

        Raises:
            ValueError: vectors of another shape, integers, NaN or infinite values, no samples, or too many positions.
        """
        samples = self._checked(media)
        codes = [torch.zeros(len(x), 0, dtype=torch.int64, device=x.device) for x in samples]
        return torch.cat(codes) if self.max_length is None else codes

    def inputs(self, media: Any) -> Tensor:
        """(n, C), sample after sample.

        Raises:
            ValueError: as `encode`.
        """
        return torch.cat(self._checked(media)).float()

    def _checked(self, media: Any) -> list[Tensor]:
        """(T, C) of each sample."""
        if self.max_length is None and isinstance(media, Tensor) and media.ndim == 2:
            media = list(media[:, None])
        elif self.max_length is None or not isinstance(media, (list, tuple)):
            kind = "a tensor (B, C)" if self.max_length is None else "a list of tensors (T, C)"
            shape = f" of shape {tuple(media.shape)}" if isinstance(media, Tensor) else ""
            raise ValueError(f"vectors as {type(media).__name__}{shape}, expected {kind}, C = {self.width}")
        if not media:
            raise ValueError("vectors of no sample, expected at least one")
        longest = self.max_length or 1
        for index, x in enumerate(media):
            check_float(x, f"vectors of sample {index}")
            if x.ndim != 2 or x.shape[1] != self.width or not 1 <= len(x) <= longest:
                raise ValueError(
                    f"vectors of sample {index} have shape {tuple(x.shape)}, expected (1 to {longest}, {self.width})"
                )
            if not bool(torch.isfinite(x).all()):
                raise ValueError(
                    f"vectors of sample {index} hold NaN or infinite values, expected finite ones"
                )
        return list(media)

    def decode(self, codes: Any) -> NoReturn:
        """Refused: there are no codes to decode."""
        raise ValueError("frozen vectors have no codes, expected a modality that can be generated")

    @property
    def has_decoder(self) -> bool:
        """False."""
        return False
