"""Images to a grid of codes by convolutions.

Esser, Rombach and Ommer, "Taming Transformers for High-Resolution Image Synthesis" (VQGAN, 2021); Chang et al.,
"MaskGIT" (2022). The adversary and the perceptual loss are given to the TokenizerModule.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from tokenizers_vq.layers.convolutional import ConvDecoder, ConvEncoder, check_widths, feature_map
from tokenizers_vq.quantizers import Quantizer
from tokenizers_vq.vision.pixel_loss import PixelLoss
from tokenizers_vq.vision.resolutions import AnyResolutionTokenizer


class VQGAN(AnyResolutionTokenizer):
    """Images (B, C, H, W) float in [0, 1] <-> codes (B, H / f, W / f, Q), f = stem_stride * 2^(levels - 1).

    MaskGIT's tokenizer is f 16 at full resolution, `width=128, multipliers=(1, 1, 2, 2, 4)`; a cheap f 8 folds 4 pixels
    first: `stem_stride=4, multipliers=(1, 2)`.

    Args:
        quantizer: of latents of width `quantizer.dim`.
        image_size: height and width in pixels; see `at` for use at another size.
        channels: 1 (grey) or 3 (RGB).
        width: channels at the finest level, a multiple of 8.
        multipliers: channels of each level as multiples of `width`, finest first.
        num_blocks: residual blocks at each level, in encoder and decoder.
        stem_stride: pixels that the first convolution folds.
        has_attention: attention at the coarsest level.
        loss: of pixels; L1 + L2 where not given.
        train_sizes: several resolutions in training, see AnyResolutionTokenizer.
        seed: of the draw of those.

    Raises:
        ValueError: sizes that do not fit together.
    """

    def __init__(
        self,
        quantizer: Quantizer,
        image_size: int | Sequence[int] = 64,
        channels: int = 3,
        width: int = 128,
        multipliers: Sequence[int] = (1, 1, 2, 2, 4),
        num_blocks: int = 2,
        stem_stride: int = 1,
        has_attention: bool = False,
        loss: PixelLoss | None = None,
        train_sizes: Sequence[int] = (),
        seed: int = 0,
    ) -> None:
        widths = [width * factor for factor in multipliers]
        check_widths(widths, num_blocks, stem_stride)
        downsample = stem_stride * 2 ** (len(widths) - 1)
        super().__init__(quantizer, image_size, channels, downsample, train_sizes, seed)
        self.encoder = ConvEncoder(channels, widths, num_blocks, stem_stride, quantizer.dim, has_attention)
        self.decoder = ConvDecoder(quantizer.dim, channels, widths, num_blocks, stem_stride, has_attention)
        self.loss = loss or PixelLoss()

    def images(self, latents: Tensor) -> Tensor:
        """(B, C, H, W), about in [-1, 1], of quantized latents (B, Y, X, D)."""
        return self.decoder(feature_map(latents))

    def last_layer(self) -> nn.Parameter:
        """Weight of the last convolution."""
        return self.decoder.last_layer()
