"""What image tokenizers share: checks, normalisation to [-1, 1], the training forward, previews."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from tokenizers_vq.checks import check_float, check_range, fixed_codes
from tokenizers_vq.contract import TokenSpec
from tokenizers_vq.health import per_codebook
from tokenizers_vq.quantizers import Quantizer
from tokenizers_vq.trainable import Preview, TokenizerOutput, TrainableTokenizer

_PREVIEWED = 16


def as_pair(size: int | Sequence[int], name: str = "image_size") -> tuple[int, int]:
    """(height, width) of one number or two.

    Raises:
        ValueError: anything else, or numbers below 1.
    """
    pair = (size, size) if isinstance(size, int) else tuple(size)
    if len(pair) != 2 or min(pair) < 1:
        raise ValueError(f"{name}={size}: expected a side, or height and width, in pixels")
    return int(pair[0]), int(pair[1])


class ImageTokenizer(TrainableTokenizer):
    """Images (B, C, H, W) float in [0, 1] -> codes (B, *grid, Q).

    Subclasses say how images in [-1, 1] become latents (B, *grid, D), channels last.

    Args:
        quantizer: of the latents.
        image_size: height and width in pixels.
        channels: 1 (grey) or 3 (RGB).
        grid: tokens along each axis.
        axes: their names, "y" and "x" for a grid of image regions.
        stride: pixels a token along each axis; none where tokens have no place in the image.

    Raises:
        ValueError: a wrong number of channels.
    """

    media: ClassVar[str] = "image"

    def __init__(
        self,
        quantizer: Quantizer,
        image_size: tuple[int, int],
        channels: int,
        grid: tuple[int, ...],
        axes: tuple[str, ...] = ("y", "x"),
        stride: tuple[float, ...] = (),
    ) -> None:
        super().__init__()
        if channels not in (1, 3):
            raise ValueError(f"channels={channels}: expected 1 (grey) or 3 (RGB)")
        self.size, self.channels = image_size, channels
        self.quantizer = quantizer
        self._spec = TokenSpec(
            quantizer.codebook_size, quantizer.num_codebooks, axes=axes, grid=grid, stride=stride
        )

    @property
    def spec(self) -> TokenSpec:
        """Codes on a grid of fixed size."""
        return self._spec

    @abstractmethod
    def latents(self, x_BCHW: Tensor) -> Tensor:
        """(B, *grid, D) of images in [-1, 1]."""

    @torch.no_grad()
    def encode(self, media: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Codes (B, *grid, Q) int64 of images (B, C, H, W) float in [0, 1]."""
        return self.quantizer.encode(self.latents(self.checked(media)))

    def code_vectors(self) -> Tensor | None:
        """(Q, codebook_size, D) vectors of the quantizer."""
        return self.quantizer.code_vectors()

    def code_latents(self, codes: Tensor | Sequence[Tensor]) -> Tensor:
        """Quantized latents (B, *grid, D) of codes (B, *grid, Q), on the tokenizer's device.

        Raises:
            ValueError: codes that do not fit the spec.
        """
        batch = fixed_codes(codes, self.spec, "image codes")
        return self.quantizer.decode(batch.to(next(self.parameters()).device))

    def checked(self, media: Tensor) -> Tensor:
        """Images in [-1, 1] of media.

        Raises:
            ValueError: wrong type, shape or range, NaN.
        """
        check_float(media, "image")
        height, width = self.size
        if media.ndim != 4 or media.shape[1:] != (self.channels, height, width):
            raise ValueError(
                f"images of shape {tuple(media.shape)}, expected (B, {self.channels}, {height}, {width}); resize and "
                "convert to grey or RGB first"
            )
        check_range(media, 0.0, 1.0, "image values", "give floats in [0, 1] (divide bytes by 255)")
        return media.float() * 2 - 1


class ImageAutoencoder(ImageTokenizer):
    """An image tokenizer whose codes give the images back.

    Subclasses say besides how quantized latents become images.

    Attributes:
        loss: scalar of a reconstruction and its target (B, C, H, W) in [-1, 1]; subclasses set it, or say `output`.
    """

    loss: Callable[[Tensor, Tensor], Tensor]

    @abstractmethod
    def images(self, latents: Tensor) -> Tensor:
        """(B, C, H, W), about in [-1, 1], of quantized latents (B, *grid, D)."""

    def output(self, x_BCHW: Tensor, latents: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Reconstruction (B, C, H, W) from quantized latents, and the losses against the images in [-1, 1]."""
        y_BCHW = self.images(latents)
        return y_BCHW, {"reconstruction": self.loss(y_BCHW, x_BCHW)}

    @torch.no_grad()
    def decode(self, codes: Tensor | Sequence[Tensor]) -> Tensor:
        """Images (B, C, H, W) float32 in [0, 1] of codes (B, *grid, Q)."""
        return (self.images(self.code_latents(codes)).float() / 2 + 0.5).clamp(0, 1)

    def forward(self, media: Tensor, lengths: Tensor | None = None) -> TokenizerOutput:
        """Training forward; reconstruction and target (B, C, H, W) lie in about [-1, 1]."""
        x_BCHW = self.training_view(self.checked(media))
        out = self.quantizer(self.latents(x_BCHW))
        y_BCHW, parts = self.output(x_BCHW, out.latents)
        parts = parts | {"quantizer": out.loss}
        return TokenizerOutput(
            loss=torch.stack(list(parts.values())).sum(),
            reconstruction=y_BCHW,
            codes=out.codes.reshape(-1, out.codes.shape[-1]),
            parts=parts,
            metrics=per_codebook(out.metrics),
            target=x_BCHW,
        )

    def training_view(self, x_BCHW: Tensor) -> Tensor:
        """What is trained on of images in [-1, 1]: the images themselves, unless a subclass changes their size."""
        return x_BCHW

    @torch.no_grad()
    def preview(self, media: Tensor, lengths: Tensor | None = None) -> Preview:
        """One picture: a row of originals above a row of reconstructions."""
        shown = media[:_PREVIEWED]
        rows = [torch.cat(list(images), dim=-1) for images in (shown, self.decode(self.encode(shown)))]
        return Preview(pictures={"reconstruction": torch.cat(rows, dim=-2)})
