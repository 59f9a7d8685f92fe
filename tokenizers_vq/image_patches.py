"""Images to continuous patches, for models that read pixels (BEiT, Bao et al., 2022)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, NoReturn

import torch
from einops import rearrange
from torch import Tensor

from tokenizers_vq.checks import check_float, check_range
from tokenizers_vq.contract import Tokenizer, TokenSpec


class ImagePatches(Tokenizer):
    """Images (B, C, H, W) float in [0, 1] -> inputs (B H/p W/p, C p p), normalised; row by row of the grid.

    Args:
        image_size: height and width in pixels.
        patch_size: p, pixels of a patch along each axis.
        mean, std: of each channel; patches are (x - mean) / std.
        codebook_size: codes that a model's head predicts for a patch; they come from another tokenizer. 0 = patches
            are inputs alone.

    Raises:
        ValueError: sizes that do not fit together.
    """

    media: ClassVar[str] = "image"

    def __init__(
        self,
        image_size: Sequence[int] = (224, 224),
        patch_size: int = 16,
        mean: Sequence[float] = (0.5, 0.5, 0.5),
        std: Sequence[float] = (0.5, 0.5, 0.5),
        codebook_size: int = 0,
    ) -> None:
        super().__init__()
        if len(image_size) != 2 or any(size < patch_size or size % patch_size for size in image_size):
            raise ValueError(
                f"image_size={tuple(image_size)}: expected two multiples of patch_size={patch_size}"
            )
        if len(mean) != len(std) or not all(value > 0 for value in std):
            raise ValueError(
                f"mean={tuple(mean)}, std={tuple(std)}: expected one each a channel, std above 0"
            )
        self.image_size, self.patch_size = (image_size[0], image_size[1]), patch_size
        self.mean, self.std = tuple(mean), tuple(std)
        grid = (image_size[0] // patch_size, image_size[1] // patch_size)
        strides = (patch_size, patch_size)
        num_codebooks = min(1, codebook_size)
        self._spec = TokenSpec(codebook_size, num_codebooks, axes=("y", "x"), grid=grid, stride=strides)

    @property
    def spec(self) -> TokenSpec:
        """A ("y", "x") grid of fixed size."""
        return self._spec

    @property
    def has_encoder(self) -> bool:
        """False where codes come from elsewhere."""
        return not self._spec.has_codes

    @property
    def has_decoder(self) -> bool:
        """False: patches are inputs alone."""
        return False

    def inputs(self, media: Tensor) -> Tensor:
        """Patches (B H/p W/p, C p p) float32, each flattened channel first."""
        self._check(media)
        mean, std = (torch.tensor(v, device=media.device)[:, None, None] for v in (self.mean, self.std))
        normalised = (media.float() - mean) / std
        p = self.patch_size
        return rearrange(normalised, "b c (y p) (x q) -> (b y x) (c p q)", p=p, q=p)

    def encode(self, media: Tensor, lengths: Tensor | None = None) -> Tensor:
        """No codes, (B, H/p, W/p, 0) int64: where patches are.

        Raises:
            ValueError: where codes come from elsewhere.
        """
        self._check(media)
        if not self.has_encoder:
            raise ValueError(
                "ImagePatches makes continuous inputs alone; expected a tokenizer that makes codes of this model's kind"
            )
        return torch.zeros(len(media), *self._spec.shape(), 0, dtype=torch.int64, device=media.device)

    def _check(self, media: Tensor) -> None:
        check_float(media, "image")
        shape = (len(self.mean), *self.image_size)
        if media.ndim != 4 or media.shape[1:] != shape:
            raise ValueError(
                f"images of shape {tuple(media.shape)}, expected (B, {shape[0]}, {shape[1]}, {shape[2]}); resize and "
                "convert first"
            )
        check_range(media, 0.0, 1.0, "image values", "give floats in [0, 1] (divide bytes by 255)")

    def decode(self, codes: Any) -> NoReturn:
        """Refused: see the class.

        Raises:
            ValueError: always.
        """
        raise ValueError("patches are inputs alone and have no decoder; expected codes of another tokenizer")
