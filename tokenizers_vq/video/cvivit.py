"""Videos to codes by transformers over space and time in turn.

Villegas et al., "Phenaki: Variable Length Video Generation from Open Domain Textual Descriptions" (C-ViViT, 2022).
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from tokenizers_vq.layers.past import Past
from tokenizers_vq.layers.space_time import SpaceTransformer, TimeTransformer
from tokenizers_vq.layers.transformer import check_transformer, tanh_bottleneck
from tokenizers_vq.layers.tubes import TubeEmbedding, TubePixels
from tokenizers_vq.quantizers import Quantizer
from tokenizers_vq.video.base import VideoTokenizer
from tokenizers_vq.vision.pixel_loss import PixelLoss


class CViViT(VideoTokenizer):
    """Videos, list of (T, C, H, W) float in [0, 1] <-> codes, list of (n, Y, X, Q), n = 1 + ceil((T - 1) / stride).

    Patches of the first frame and tubes of the frames after it become vectors by linear maps of their own. A
    transformer inside each frame follows, then one along time at each place, which sees no later step. The decoder is
    the mirror. Time has no table of positions: longer videos than those of training are encoded as well.

    Phenaki's sizes: 128 x 128 pixels, patches of 8, temporal_stride 2, width 512, 4 blocks each, 8 heads, and a cosine
    codebook in few dimensions, `CosineVQ(8192, 32)`. The tokenizer brings its vectors to the quantizer's width.

    Args:
        quantizer: of latents of width `quantizer.dim`.
        image_size: height and width in pixels.
        channels: 1 (grey) or 3 (RGB).
        patch_size: pixels of a patch along each axis.
        temporal_stride: frames of a tube.
        width: of the transformers.
        space_depth: blocks inside frames, in encoder and decoder.
        time_depth: blocks along time, in encoder and decoder.
        num_heads: attention heads.
        time_window: steps along time that a block sees, its own among them; it bounds the memory of films in pieces.
        max_length: tokens along time of the longest video.
        rate: frames a second of all videos.
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
        temporal_stride: int = 4,
        width: int = 256,
        space_depth: int = 4,
        time_depth: int = 4,
        num_heads: int = 4,
        time_window: int = 64,
        max_length: int = 64,
        rate: float = 25.0,
        loss: PixelLoss | None = None,
    ) -> None:
        for depth in (space_depth, time_depth):
            check_transformer(width, depth, num_heads, patch_size)
        super().__init__(quantizer, image_size, channels, patch_size, temporal_stride, max_length, rate, loss)
        height, columns = self.grid.size
        places = (height // patch_size, columns // patch_size)
        self.to_tubes = TubeEmbedding(channels, patch_size, temporal_stride, width)
        self.encoder_space = SpaceTransformer(places, width, space_depth, num_heads)
        self.encoder_time = TimeTransformer(width, time_depth, num_heads, time_window)
        self.to_code = tanh_bottleneck(width, quantizer.dim)
        self.from_code = nn.Linear(quantizer.dim, width)
        self.decoder_time = TimeTransformer(width, time_depth, num_heads, time_window)
        self.decoder_space = SpaceTransformer(places, width, space_depth, num_heads)
        self.to_pixels = TubePixels(channels, patch_size, temporal_stride, width)

    def latents(self, x_BCTHW: Tensor, past: Past | None = None) -> Tensor:
        """(B, n, Y, X, D) of videos in [-1, 1], see VideoTokenizer."""
        tubes_BNYXC = self.to_tubes(x_BCTHW, past is None or past.is_start)
        return self.to_code(self.encoder_time(self.encoder_space(tubes_BNYXC), past))

    def videos(self, latents: Tensor, past: Past | None = None) -> Tensor:
        """(B, C, T, H, W), about in [-1, 1], of quantized latents (B, n, Y, X, D), see VideoTokenizer."""
        tubes_BNYXC = self.decoder_space(self.decoder_time(self.from_code(latents), past))
        return self.to_pixels(tubes_BNYXC, past is None or past.is_start)

    def last_layer(self) -> nn.Parameter:
        """Weight of the linear layer that makes the pixels of all frames but the first."""
        return self.to_pixels.of_later[-1].weight  # type: ignore[return-value]
