"""Images to a grid of codes: a small convolutional autoencoder around a residual vector quantizer.

The plan is that of VQGAN (Esser et al., "Taming Transformers", 2021), trained by reconstruction alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from tokenizers_vq.checks import check_float, check_range, fixed_codes
from tokenizers_vq.contract import TokenSpec
from tokenizers_vq.layers.image import Downsample, ResidualBlock, Upsample
from tokenizers_vq.quantizers import ResidualVQ
from tokenizers_vq.trainable import Preview, TokenizerOutput, TrainableTokenizer

_PREVIEWED = 16


class ImageVQ(TrainableTokenizer):
    """Images (B, C, H, W) float in [0, 1] <-> codes (B, H / downsample, W / downsample, Q).

    Args:
        image_size: height and width in pixels.
        channels: 1 (grey) or 3 (RGB).
        width: channels of the convolutions at half resolution, a multiple of 8; doubled below it.
        downsample: pixels a token along each axis: 4 or 8.
        num_blocks: residual blocks at each resolution.
        codebook_size: codes in each codebook.
        code_dim: width of the vectors that are quantized.
        num_codebooks: 1 is plain vector quantization, more are residual levels.
        decay, commitment, revive_below, seed: of the quantizer, see ResidualVQ.

    Raises:
        ValueError: sizes that do not fit together.
    """

    media: ClassVar[str] = "image"

    def __init__(
        self,
        image_size: int = 32,
        channels: int = 1,
        width: int = 32,
        downsample: int = 4,
        num_blocks: int = 1,
        codebook_size: int = 256,
        code_dim: int = 16,
        num_codebooks: int = 1,
        decay: float = 0.97,
        commitment: float = 0.25,
        revive_below: float = 0.1,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if downsample not in (4, 8):
            raise ValueError(f"downsample={downsample}: expected 4 or 8 pixels a token")
        if image_size < downsample or image_size % downsample:
            raise ValueError(f"image_size={image_size} must be a multiple of downsample={downsample}")
        if channels not in (1, 3):
            raise ValueError(f"channels={channels}: expected 1 (grey) or 3 (RGB)")
        if width < 8 or width % 8:
            raise ValueError(f"width={width} must be a multiple of 8")
        self._config: dict[str, Any] = {
            "image_size": image_size,
            "channels": channels,
            "width": width,
            "downsample": downsample,
            "num_blocks": num_blocks,
            "codebook_size": codebook_size,
            "code_dim": code_dim,
            "num_codebooks": num_codebooks,
            "decay": decay,
            "commitment": commitment,
            "revive_below": revive_below,
            "seed": seed,
        }
        side = image_size // downsample
        self._spec = TokenSpec(
            codebook_size, num_codebooks, axes=("y", "x"), grid=(side, side), stride=(downsample, downsample)
        )
        # Channels at each resolution, from half resolution down.
        widths = [width, 2 * width] if downsample == 4 else [width, 2 * width, 2 * width]
        encoder: list[nn.Module] = []
        for before, after in zip([channels, *widths], widths):
            encoder += [Downsample(before, after), *(ResidualBlock(after) for _ in range(num_blocks))]
        self.encoder = nn.Sequential(
            *encoder, nn.GroupNorm(8, widths[-1]), nn.Conv2d(widths[-1], code_dim, 1)
        )
        self.quantizer = ResidualVQ(
            num_codebooks,
            codebook_size,
            code_dim,
            decay=decay,
            commitment=commitment,
            revive_below=revive_below,
            seed=seed,
        )
        decoder: list[nn.Module] = [nn.Conv2d(code_dim, widths[-1], 3, padding=1)]
        for before, after in zip(widths[::-1], [*widths[-2::-1], channels]):
            decoder += [*(ResidualBlock(before) for _ in range(num_blocks)), Upsample(before, after)]
        self.decoder = nn.Sequential(*decoder)

    @property
    def spec(self) -> TokenSpec:
        """Codes on a ("y", "x") grid of fixed size."""
        return self._spec

    def config(self) -> dict[str, Any]:
        """Constructor arguments."""
        return dict(self._config)

    def code_vectors(self) -> Tensor:
        """(Q, codebook_size, code_dim) vectors of the quantizer."""
        return self.quantizer.code_vectors()

    @torch.no_grad()
    def encode(self, media: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Codes (B, Y, X, Q) int64 of images (B, C, H, W) float in [0, 1]."""
        return self.quantizer.encode(self._latents(self._normalise(media)))

    @torch.no_grad()
    def decode(self, codes: Tensor | Sequence[Tensor]) -> Tensor:
        """Images (B, C, H, W) float32 in [0, 1] of codes (B, Y, X, Q)."""
        batch = fixed_codes(codes, self.spec, "image codes").to(self.quantizer.num_updates.device)
        return self._denormalise(self._images(self.quantizer.decode(batch)))

    def forward(self, media: Tensor, lengths: Tensor | None = None) -> TokenizerOutput:
        """Training forward; the reconstruction (B, C, H, W) lies in about [-1, 1], its loss is L1 + L2 there."""
        x_BCHW = self._normalise(media)
        out = self.quantizer(self._latents(x_BCHW))
        y_BCHW = self._images(out.latents)
        l1, l2 = (y_BCHW - x_BCHW).abs().mean(), (y_BCHW - x_BCHW).square().mean()
        parts = {"reconstruction": l1 + l2, "commitment": out.loss}
        return TokenizerOutput(
            loss=l1 + l2 + out.loss,
            reconstruction=y_BCHW,
            codes=out.codes.reshape(-1, out.codes.shape[-1]),
            parts=parts,
            metrics=out.metrics,
            target=x_BCHW,
        )

    def last_layer(self) -> nn.Parameter:
        """Weight of the last convolution."""
        return list(self.decoder.parameters())[-2]

    @torch.no_grad()
    def preview(self, media: Tensor, lengths: Tensor | None = None) -> Preview:
        """One picture: a row of originals above a row of reconstructions."""
        shown = media[:_PREVIEWED]
        rows = [torch.cat(list(images), dim=-1) for images in (shown, self.decode(self.encode(shown)))]
        return Preview(pictures={"reconstruction": torch.cat(rows, dim=-2)})

    def _latents(self, x_BCHW: Tensor) -> Tensor:
        """(B, Y, X, code_dim): channels last, as quantizers want them."""
        return self.encoder(x_BCHW).permute(0, 2, 3, 1)

    def _images(self, latents_BYXD: Tensor) -> Tensor:
        return self.decoder(latents_BYXD.permute(0, 3, 1, 2))

    def _normalise(self, media: Tensor) -> Tensor:
        size, channels = self._config["image_size"], self._config["channels"]
        check_float(media, "image")
        if media.ndim != 4 or media.shape[1:] != (channels, size, size):
            raise ValueError(
                f"images of shape {tuple(media.shape)}, expected (B, {channels}, {size}, {size}); resize and convert "
                "to grey or RGB first"
            )
        check_range(media, 0.0, 1.0, "image values", "give floats in [0, 1] (divide bytes by 255)")
        return media.float() * 2 - 1

    def _denormalise(self, x_BCHW: Tensor) -> Tensor:
        return (x_BCHW / 2 + 0.5).clamp(0, 1)
