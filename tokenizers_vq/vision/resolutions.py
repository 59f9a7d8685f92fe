"""Tokenizers that work at any resolution: training at several, and use at another than the one built for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from tokenizers_vq.contract import Key
from tokenizers_vq.contract.described import arguments_of, rebuild
from tokenizers_vq.quantizers import Quantizer
from tokenizers_vq.vision.base import ImageAutoencoder, as_pair


class AnyResolutionTokenizer(ImageAutoencoder):
    """An image tokenizer of convolutions: none of its weights depends on the size of the image.

    Args:
        quantizer, channels: see ImageTokenizer.
        image_size: height and width in pixels that `encode` takes.
        downsample: pixels a token along each axis.
        train_sizes: in training each batch is brought (antialiased) to one of these sizes, drawn by step; to its own
            size alone where empty.
        seed: of the draw.

    Attributes:
        encoder: images (B, C, H, W) in [-1, 1] -> latents (B, D, Y, X); subclasses set it.

    Raises:
        ValueError: a size that is no multiple of `downsample`.
    """

    encoder: nn.Module
    num_forwards: Tensor

    def __init__(
        self,
        quantizer: Quantizer,
        image_size: int | Sequence[int],
        channels: int,
        downsample: int,
        train_sizes: Sequence[int | Sequence[int]] = (),
        seed: int = 0,
    ) -> None:
        height, width = size = as_pair(image_size)
        grid = (height // downsample, width // downsample)
        super().__init__(quantizer, size, channels, grid, stride=(downsample, downsample))
        self.train_sizes = [as_pair(one, "train_sizes") for one in train_sizes]
        for one in (size, *self.train_sizes):
            if one[0] % downsample or one[1] % downsample:
                raise ValueError(
                    f"image_size={one} must be a multiple of {downsample}, the pixels of a token"
                )
        self._key = Key(seed).fold("train size")
        # In the state_dict, so that a resumed run draws on; its Python copy spares a GPU the wait.
        self.register_buffer("num_forwards", torch.zeros((), dtype=torch.int64))
        self._step = 0
        self.register_load_state_dict_post_hook(_read_step)

    def at(self, image_size: int | Sequence[int]) -> Self:
        """A copy with the same weights for images of another size; its spec, and so its fingerprint, are others."""
        described = arguments_of(self, leave_out=self.training_only)
        arguments: dict[str, Any] = rebuild(described | {"image_size": list(as_pair(image_size))})
        other = type(self)(**arguments)
        other.load_state_dict(self.state_dict())
        return other.to(self.num_forwards.device).train(self.training)

    def latents(self, x_BCHW: Tensor) -> Tensor:
        """(B, Y, X, D) of images in [-1, 1]."""
        return self.encoder(x_BCHW).permute(0, 2, 3, 1)

    def training_view(self, x_BCHW: Tensor) -> Tensor:
        """In training mode, the images at the size of this step."""
        if not self.training or not self.train_sizes:
            return x_BCHW
        index = int(self._key.at(self._step).integers(len(self.train_sizes)))
        self._step += 1
        self.num_forwards += 1
        size = self.train_sizes[index]
        if size == x_BCHW.shape[2:]:
            return x_BCHW
        return torch.nn.functional.interpolate(x_BCHW, size, mode="bilinear", antialias=True)


def _read_step(module: torch.nn.Module, incompatible_keys: Any) -> None:
    assert isinstance(module, AnyResolutionTokenizer)
    module._step = int(module.num_forwards)
