"""What tells media from reconstructions: the interface that discriminators of all media share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor, nn

from tokenizers_vq.contract import Described


@dataclass(frozen=True)
class Judgement:
    """What a discriminator says of a batch.

    Attributes:
        logits: one tensor (B, ...) a sub-discriminator, above 0 where it takes the media for real; losses are means
            over each, then over all.
        features: hidden activations (B, ...) for feature matching; may be empty.
    """

    logits: list[Tensor]
    features: list[Tensor] = field(default_factory=list)


class Discriminator(Described, nn.Module, ABC):
    """Judges a batch in the units of the tokenizer's reconstruction: images (B, C, H, W), waveforms (B, 1, T) ...

    Each sample is judged without regard to `requires_grad` of the parameters: the trainer switches it off while the
    tokenizer learns. Normalisation over the batch is best avoided, as it mixes the samples of a gradient penalty.
    """

    @abstractmethod
    def forward(self, media: Tensor) -> Judgement:
        """Judge a batch of media or reconstructions."""


class MultiDiscriminator(Discriminator):
    """Several discriminators as one, e.g. STFT discriminators of several window sizes.

    Args:
        discriminators: each judges the whole batch.

    Raises:
        ValueError: no discriminators.
    """

    def __init__(self, discriminators: Sequence[Discriminator]) -> None:
        super().__init__()
        if not discriminators:
            raise ValueError("discriminators=[]: expected at least one")
        self.discriminators = nn.ModuleList(discriminators)

    def forward(self, media: Tensor) -> Judgement:
        """All logits and all features, in the order of the discriminators."""
        said: list[Judgement] = [discriminator(media) for discriminator in self.discriminators]
        return Judgement([x for one in said for x in one.logits], [x for one in said for x in one.features])
