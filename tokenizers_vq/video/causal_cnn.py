"""Videos to a grid of codes by convolutions that are causal in time.

Yu et al., "Language Model Beats Diffusion: Tokenizer is Key to Visual Generation" (MAGVIT-v2, 2023). The adversary and
the perceptual loss are given to the TokenizerModule.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

from einops import rearrange
from torch import Tensor, nn

from tokenizers_vq.contract.described import rebuild
from tokenizers_vq.layers.causal_video import CausalDecoder, CausalEncoder, CausalPlan
from tokenizers_vq.layers.convolutional import check_widths
from tokenizers_vq.layers.inflation import inflated_weights
from tokenizers_vq.layers.past import Past
from tokenizers_vq.quantizers import Quantizer
from tokenizers_vq.video.base import VideoTokenizer
from tokenizers_vq.vision.pixel_loss import PixelLoss
from tokenizers_vq.vision.vqgan import VQGAN


class CausalVideoCNN(VideoTokenizer):
    """Videos, list of (T, C, H, W) float in [0, 1] <-> codes, list of (1 + ceil((T - 1) / s), H / f, W / f, Q).

    f = stem_stride * 2^(levels - 1) pixels and s = prod(time_strides) frames a token, the first frame apart. A plan as
    MAGVIT-v2's is `ProjectedQuantizer(512, LFQ(18))`, width 128, multipliers (1, 2, 2, 4), 2 blocks, time_strides
    (1, 1, 2, 2), with an adversary. Folding pixels and frames in the first convolution is far cheaper:
    `stem_stride=4, multipliers=(1, 2), time_strides=(2, 2)`.

    Convolutions are padded in front alone along time, by the held first frame. Groups are normalised over one frame at
    a time: over all frames of a video, as is usual in 3-D, a frame would depend on later ones. A decoded frame depends
    on no later token either. `inflate` starts one from a trained VQGAN.

    Args:
        quantizer: of latents of width `quantizer.dim`.
        image_size: height and width in pixels; see `at` for use at another size.
        channels: 1 (grey) or 3 (RGB).
        width: channels at the finest level, a multiple of 8.
        multipliers: channels of each level as multiples of `width`, finest first.
        num_blocks: residual blocks at each level, in encoder and decoder.
        stem_stride: pixels that the first convolution folds.
        time_strides: frames that become one at the first convolution, then at each change of level: one a level.
        kernel_time: frames that a convolution sees.
        has_attention: attention within each frame at the coarsest level.
        max_length: tokens along time of the longest video.
        rate: frames a second of all videos.
        loss: of pixels; L1 + L2 where not given.
        inflate_from: folder of a VQGAN of the same plan, whose weights this one starts from in training, see `inflate`.

    Raises:
        ValueError: sizes that do not fit together; a folder of no VQGAN or of one of another plan.
    """

    training_only: ClassVar[tuple[str, ...]] = ("inflate_from",)

    def __init__(
        self,
        quantizer: Quantizer,
        image_size: int | Sequence[int] = 64,
        channels: int = 3,
        width: int = 128,
        multipliers: Sequence[int] = (1, 2, 2, 4),
        num_blocks: int = 2,
        stem_stride: int = 1,
        time_strides: Sequence[int] = (1, 1, 2, 2),
        kernel_time: int = 3,
        has_attention: bool = False,
        max_length: int = 16,
        rate: float = 25.0,
        loss: PixelLoss | None = None,
        inflate_from: Path | str | None = None,
    ) -> None:
        widths = tuple(width * factor for factor in multipliers)
        check_widths(widths, num_blocks, stem_stride)
        if len(time_strides) != len(widths) or min(time_strides) < 1 or kernel_time < 1:
            raise ValueError(
                f"time_strides={tuple(time_strides)}, kernel_time={kernel_time}: expected a stride for "
                f"each of the {len(widths)} levels, and numbers from 1"
            )
        patch_size = stem_stride * 2 ** (len(widths) - 1)
        frames = math.prod(time_strides)
        super().__init__(quantizer, image_size, channels, patch_size, frames, max_length, rate, loss)
        plan = CausalPlan(
            channels, widths, num_blocks, stem_stride, tuple(time_strides), kernel_time, has_attention
        )
        self.encoder = CausalEncoder(plan, quantizer.dim)
        self.decoder = CausalDecoder(plan, quantizer.dim)
        if inflate_from is not None:
            self.load_state_dict(inflated_weights(VQGAN.load(inflate_from).state_dict(), self.state_dict()))

    def latents(self, x_BCTHW: Tensor, past: Past | None = None) -> Tensor:
        """(B, n, Y, X, D) of videos in [-1, 1]."""
        return rearrange(self.encoder(x_BCTHW, past), "b d n y x -> b n y x d")

    def videos(self, latents: Tensor, past: Past | None = None) -> Tensor:
        """(B, C, T, H, W), about in [-1, 1], of quantized latents (B, n, Y, X, D)."""
        return self.decoder(rearrange(latents, "b n y x d -> b d n y x"), past)

    def last_layer(self) -> nn.Parameter:
        """Weight of the last convolution."""
        return self.decoder.last_layer()

    def at(self, image_size: int | Sequence[int] | None = None, max_length: int | None = None) -> Self:
        """A copy with the same weights for videos of another size or length; its spec and fingerprint are others."""
        changes: dict[str, Any] = {"image_size": image_size, "max_length": max_length}
        given = {name: value for name, value in changes.items() if value is not None}
        other = type(self)(**rebuild(self.config() | given))
        other.load_state_dict(self.state_dict())
        return other.to(self.last_layer().device).train(self.training)
