"""VQModel of diffusers: the VQGAN of latent diffusion (Rombach et al., 2022) and of aMUSEd (Patil et al., 2024)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from tokenizers_vq.checks import check_float, check_range, fixed_codes
from tokenizers_vq.contract import Tokenizer, TokenSpec
from tokenizers_vq.pretrained.public import load_public, public_class


class PretrainedVQModel(Tokenizer):
    """Images (B, C, H, W) float in [0, 1] <-> codes (B, H / f, W / f, 1) of a frozen VQModel.

    Args:
        config: of diffusers' VQModel.
        image_size: height and width in pixels, or one number for both; multiples of f = 2^(levels - 1).
        value_range: pixel values that the model was trained on. None: 0 to 1 for models that look codes up by number
            (`lookup_from_codebook`: aMUSEd), else -1 to 1.
        is_cosine: the nearest code is that of the smallest angle (LlamaGen); the codebook has unit length then.

    Raises:
        ValueError: diffusers is missing; sizes, channels or a range that do not fit.
    """

    media: ClassVar[str] = "image"

    def __init__(
        self,
        config: Mapping[str, Any],
        image_size: int | Sequence[int],
        value_range: Sequence[float] | None = None,
        is_cosine: bool = False,
    ) -> None:
        super().__init__()
        self.is_cosine = is_cosine
        model = public_class("diffusers", "VQModel").from_config(dict(config))
        made = model.config
        height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
        factor = 2 ** (len(made.block_out_channels) - 1)
        if min(height, width) < factor or height % factor or width % factor:
            raise ValueError(f"image_size={image_size}, expected multiples of the {factor} pixels a token")
        default = (0.0, 1.0) if made.lookup_from_codebook else (-1.0, 1.0)
        low, high = default if value_range is None else value_range
        if not low < high:
            raise ValueError(f"value_range={value_range}, expected the lowest and the highest pixel value")
        self.size, self.channels, self._range = (height, width), made.in_channels, (low, high)
        self.model = model.requires_grad_(False).eval()
        self._spec = TokenSpec(
            made.num_vq_embeddings,
            axes=("y", "x"),
            grid=(height // factor, width // factor),
            stride=(factor, factor),
        )

    @classmethod
    def from_public(
        cls,
        source: Path | str,
        image_size: int | Sequence[int],
        subfolder: str | None = None,
        **settings: Any,
    ) -> Self:
        """Build from a folder or hub id.

        Args:
            source: see above.
            image_size: see the class.
            subfolder: where the model lies in it ("vqvae" in pipelines).
            settings: other arguments of the class.

        Raises:
            ValueError: no such model, or weights that do not fit; as the class.
        """
        model = load_public("diffusers", "VQModel", source, subfolder=subfolder)
        config = {name: value for name, value in model.config.items() if not name.startswith("_")}
        tokenizer = cls(config, image_size, **settings)
        tokenizer.model.load_state_dict(model.state_dict())
        return tokenizer

    @property
    def spec(self) -> TokenSpec:
        """One codebook on a ("y", "x") grid."""
        return self._spec

    @torch.no_grad()
    def encode(self, media: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Codes (B, Y, X, 1) int64 of images (B, C, H, W) float in [0, 1].

        Raises:
            ValueError: wrong type, shape or range, NaN.
        """
        check_float(media, "image")
        if media.ndim != 4 or media.shape[1:] != (self.channels, *self.size):
            raise ValueError(
                f"images of shape {tuple(media.shape)}, expected (B, {self.channels}, {self.size[0]}, {self.size[1]}); "
                "resize and convert to grey or RGB first"
            )
        check_range(media, 0.0, 1.0, "image values", "give floats in [0, 1] (divide bytes by 255)")
        low, high = self._range
        pixels = media.float().to(self._device) * (high - low) + low
        latents: Tensor = self.model.encode(pixels).latents
        codes: Tensor = self.model.quantize(F.normalize(latents, dim=1) if self.is_cosine else latents)[2][2]
        return codes.reshape(len(media), *self._spec.shape(), 1).long().to(media.device)

    @torch.no_grad()
    def decode(self, codes: Tensor | Sequence[Tensor]) -> Tensor:
        """Images (B, C, H, W) float32 in [0, 1] of codes (B, Y, X, 1).

        Raises:
            ValueError: codes that do not fit the spec.
        """
        batch = fixed_codes(codes, self._spec, "image codes")
        vectors = self.model.quantize.embedding(batch[..., 0].to(self._device)).permute(0, 3, 1, 2)
        guide = vectors if self.model.config.norm_type == "spatial" else None
        pixels = self.model.decoder(self.model.post_quant_conv(vectors), guide)
        low, high = self._range
        return ((pixels.float() - low) / (high - low)).clamp(0, 1).to(batch.device)

    def code_vectors(self) -> Tensor:
        """(1, codebook_size, D)."""
        vectors: Tensor = self.model.quantize.embedding.weight
        return vectors.detach()[None]

    def train(self, mode: bool = True) -> Self:
        """Stays in eval mode."""
        return super().train(False)

    @property
    def _device(self) -> torch.device:
        return next(self.model.parameters()).device
