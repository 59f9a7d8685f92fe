"""Reconstructions that look like their originals to the layers of the discriminator.

Larsen et al., "Autoencoding beyond pixels using a learned similarity metric" (2015); with relative distances as in
Defossez et al., "High Fidelity Neural Audio Compression" (2022), equation 3.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from tokenizers_vq.contract import Described

_SMALLEST = 1e-6


class FeatureMatching(Described):
    """Mean absolute distance of features, over layers.

    Args:
        weight: of the loss.
        is_relative: divide each layer's distance by the mean size of the original's features.
    """

    def __init__(self, weight: float = 1.0, is_relative: bool = False) -> None:
        self.weight, self.is_relative = weight, is_relative

    def __call__(self, real: Sequence[Tensor], fake: Sequence[Tensor]) -> Tensor:
        """Weighted scalar loss; the features of the originals get no gradient.

        Raises:
            ValueError: a discriminator without features.
        """
        if not fake:
            raise ValueError("the discriminator returns no features; leave feature_matching out")
        distances = []
        for original, imitation in zip(real, fake):
            original = original.detach()
            distance = (imitation - original).abs().mean()
            if self.is_relative:
                distance = distance / original.abs().mean().clamp(min=_SMALLEST)
            distances.append(distance)
        return self.weight * torch.stack(distances).mean()
