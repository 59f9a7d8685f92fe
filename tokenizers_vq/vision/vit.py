"""Images to codes by transformers: a grid of codes, or a short sequence of codes of the whole image.

Yu et al., "Vector-quantized Image Modeling with Improved VQGAN" (ViT-VQGAN, 2021); 1-D tokens as in Yu et al., "An
Image is Worth 32 Tokens for Reconstruction and Generation" (TiTok, 2024).
"""

from __future__ import annotations

from collections.abc import Sequence

from einops import rearrange
from torch import Tensor, nn

from tokenizers_vq.layers.transformer import PatchEncoder, TokenDecoder, check_transformer, tanh_bottleneck
from tokenizers_vq.quantizers import Quantizer
from tokenizers_vq.vision.base import ImageAutoencoder, as_pair
from tokenizers_vq.vision.pixel_loss import PixelLoss


class ViTTokenizer(ImageAutoencoder):
    """Images (B, C, H, W) float in [0, 1] <-> codes (B, H / patch, W / patch, Q), or (B, num_latents, Q).

    ViT-VQGAN's quantizer is `CosineVQ(8192, 32)`. The tokenizer brings its vectors to the quantizer's width.

    Args:
        quantizer: of latents of width `quantizer.dim`.
        image_size: height and width in pixels.
        channels: 1 (grey) or 3 (RGB).
        patch_size: pixels of a patch along each axis.
        width: of the transformers.
        depth: blocks of the encoder.
        decoder_depth: blocks of the decoder; as the encoder's where not given.
        num_heads: attention heads.
        num_latents: None for one token a patch; a number for that many tokens of the whole image, on an axis "n".
        loss: of pixels; L1 + L2 where not given.

    Raises:
        ValueError: sizes that do not fit together.
    """

    def __init__(
        self,
        quantizer: Quantizer,
        image_size: int | Sequence[int] = 64,
        channels: int = 3,
        patch_size: int = 8,
        width: int = 256,
        depth: int = 4,
        decoder_depth: int | None = None,
        num_heads: int = 4,
        num_latents: int | None = None,
        loss: PixelLoss | None = None,
    ) -> None:
        check_transformer(width, depth, num_heads, patch_size)
        height, columns = size = as_pair(image_size)
        if height % patch_size or columns % patch_size:
            raise ValueError(f"image_size={image_size} must be a multiple of patch_size={patch_size}")
        if num_latents is not None and num_latents < 1:
            raise ValueError(f"num_latents={num_latents} must be at least 1, or None for one token a patch")
        patches = (height // patch_size, columns // patch_size)
        if num_latents is None:
            super().__init__(quantizer, size, channels, patches, stride=(patch_size, patch_size))
        else:
            super().__init__(quantizer, size, channels, (num_latents,), axes=("n",))
        self.patches, self.patch_size, self.num_latents = patches, patch_size, num_latents or 0
        self.encoder = PatchEncoder(patches, channels, patch_size, width, depth, num_heads, self.num_latents)
        self.to_code = tanh_bottleneck(width, quantizer.dim)
        self.from_code = nn.Linear(quantizer.dim, width)
        self.decoder = TokenDecoder(
            patches[0] * patches[1], width, decoder_depth or depth, num_heads, self.num_latents
        )
        self.to_pixels = tanh_bottleneck(width, channels * patch_size**2)
        self.loss = loss or PixelLoss()

    def latents(self, x_BCHW: Tensor) -> Tensor:
        """(B, *grid, D) of images in [-1, 1]."""
        return self.to_code(self.encoder(x_BCHW)).unflatten(1, self.spec.shape())

    def images(self, latents: Tensor) -> Tensor:
        """(B, C, H, W), about in [-1, 1], of quantized latents (B, *grid, D)."""
        tokens_BNC = self.decoder(self.from_code(latents).flatten(1, -2))
        y, x = self.patches
        pixels = "b (y x) (c i j) -> b c (y i) (x j)"
        return rearrange(self.to_pixels(tokens_BNC), pixels, y=y, x=x, i=self.patch_size, j=self.patch_size)

    def last_layer(self) -> nn.Parameter:
        """Weight of the linear layer that makes pixels."""
        return self.to_pixels[-1].weight  # type: ignore[return-value]
