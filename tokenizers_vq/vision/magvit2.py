"""Images to a grid of codes by convolutions whose decoder is steered by the codes.

Yu et al., "Language Model Beats Diffusion: Tokenizer is Key to Visual Generation" (MAGVIT-v2, 2023); Luo et al.,
"Open-MAGVIT2: An Open-Source Project Toward Democratizing Auto-regressive Visual Generation" (2024).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from tokenizers_vq.layers.adaptive_convolutional import AdaptiveConvDecoder, PlainConvEncoder
from tokenizers_vq.layers.convolutional import feature_map
from tokenizers_vq.quantizers import Quantizer
from tokenizers_vq.vision.pixel_loss import PixelLoss
from tokenizers_vq.vision.resolutions import AnyResolutionTokenizer


class MAGVIT2(AnyResolutionTokenizer):
    """Images (B, C, H, W) float in [0, 1] <-> codes (B, H / f, W / f, Q), f = 2^(levels - 1).

    The defaults are Open-MAGVIT2's at f 16, whose quantizer is `LFQ(18)`; its weights: `pretrained.load_open_magvit2`.

    Args:
        quantizer: of latents of width `quantizer.dim`; LFQ in the papers.
        image_size: height and width in pixels, of at least two tokens; see `at` for use at another size.
        channels: 1 (grey) or 3 (RGB).
        widths: channels of each level, finest first, multiples of `num_groups`.
        num_blocks: residual blocks at each level, in encoder and decoder.
        num_groups: of the group norms.
        loss: of pixels; L1 + L2 where not given.
        train_sizes: several resolutions in training, see AnyResolutionTokenizer.
        seed: of the draw of those.

    Raises:
        ValueError: sizes that do not fit together.
    """

    def __init__(
        self,
        quantizer: Quantizer,
        image_size: int | Sequence[int] = 256,
        channels: int = 3,
        widths: Sequence[int] = (128, 128, 256, 256, 512),
        num_blocks: int = 4,
        num_groups: int = 32,
        loss: PixelLoss | None = None,
        train_sizes: Sequence[int] = (),
        seed: int = 0,
    ) -> None:
        if not widths or num_groups < 1 or any(width < 1 or width % num_groups for width in widths):
            raise ValueError(f"widths={tuple(widths)}: expected multiples of num_groups={num_groups}")
        if num_blocks < 1:
            raise ValueError(f"num_blocks={num_blocks}: expected 1 or more")
        super().__init__(quantizer, image_size, channels, 2 ** (len(widths) - 1), train_sizes, seed)
        if self.spec.max_tokens < 2:
            raise ValueError(
                f"image_size={image_size} has one token alone, expected two: the decoder's norms take their spread"
            )
        self.encoder = PlainConvEncoder(channels, widths, num_blocks, quantizer.dim, num_groups)
        self.decoder = AdaptiveConvDecoder(quantizer.dim, channels, widths, num_blocks, num_groups)
        self.loss = loss or PixelLoss()

    def images(self, latents: Tensor) -> Tensor:
        """(B, C, H, W), about in [-1, 1], of quantized latents (B, Y, X, D)."""
        return self.decoder(feature_map(latents))

    def last_layer(self) -> nn.Parameter:
        """Weight of the last convolution."""
        weight: Any = self.decoder.conv_out.weight
        return weight
