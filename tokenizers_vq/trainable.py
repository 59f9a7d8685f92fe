"""Tokenizers that are trained by gradient, and what they give a trainer."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from tokenizers_vq.contract import Tokenizer


@dataclass(frozen=True)
class TokenizerOutput:
    """One training forward.

    Attributes:
        loss: scalar to minimise, all parts weighted and summed.
        reconstruction: what the loss compares with the media, in the tokenizer's own units.
        codes: (N, Q) int64, codes of all real positions, padding left out.
        parts: named scalars that make up the loss; "reconstruction" is always among them.
        metrics: the quantizer's, "name/level", detached.
        target: what the reconstruction should be, of its shape and in its units; None where no further loss or
            discriminator may compare the two.
    """

    loss: Tensor
    reconstruction: Tensor
    codes: Tensor
    parts: dict[str, Tensor]
    metrics: dict[str, Tensor] = field(default_factory=dict)
    target: Tensor | None = None


@dataclass(frozen=True)
class Preview:
    """What a logger shows of a few samples.

    Attributes:
        pictures: name -> (C, H, W) float in [0, 1], C 1 or 3; originals above reconstructions.
        sounds: name -> (T,) float in [-1, 1].
        rate: samples per second of the sounds.
        animations: name -> (T, C, H, W) float in [0, 1], C 1 or 3.
        frames_per_second: of the animations.
    """

    pictures: dict[str, Tensor] = field(default_factory=dict)
    sounds: dict[str, Tensor] = field(default_factory=dict)
    rate: int = 16000
    animations: dict[str, Tensor] = field(default_factory=dict)
    frames_per_second: float = 20.0


class TrainableTokenizer(Tokenizer):
    """A tokenizer with a training forward; `TokenizerModule` trains any of them."""

    @abstractmethod
    def forward(self, media: Any, lengths: Tensor | None = None) -> TokenizerOutput:
        """Encode, quantize, decode and compare; in training mode the codebooks learn.

        Args:
            media: as for `encode`.
            lengths: as for `encode`.

        Raises:
            ValueError: as `encode`.
        """

    def last_layer(self) -> nn.Parameter | None:
        """The last weight before the reconstruction, at which an adaptive weight compares losses; None: not told."""
        return None

    @abstractmethod
    def preview(self, media: Any, lengths: Tensor | None = None) -> Preview:
        """Originals and reconstructions of a few media for a logger."""
