"""Reconstructions that look like their originals to a pretrained network.

Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric" (LPIPS, 2018), equation 1, with
all channels of one weight; Johnson, Alahi and Fei-Fei, "Perceptual Losses" (2016).
"""

from __future__ import annotations

import logging

import torch
from torch import Tensor
from torch.nn.functional import normalize

from tokenizers_vq.comparison import Comparison
from tokenizers_vq.vision.features import FeatureNetwork

_LOG = logging.getLogger(__name__)


class PerceptualLoss(Comparison):
    """Squared distance of features of unit length, over places and layers, of images in [-1, 1].

    Args:
        features: TorchvisionFeatures or TimmFeatures, with weights given by path. None switches the loss off, which
            is logged: then reconstructions are judged by their pixels alone, and are blurred.
        weight: of the loss; MaskGIT and MAGVIT take 0.1, VQGAN 1.
    """

    def __init__(self, features: FeatureNetwork | None = None, weight: float = 0.1) -> None:
        super().__init__()
        self.features, self.weight = features, weight
        if features is None:
            _LOG.warning(
                "the perceptual loss is off, as no features were given: name a file of weights, e.g. "
                "TorchvisionFeatures(weights=vgg16-397923af.pth)"
            )

    def forward(self, reconstruction: Tensor, target: Tensor) -> Tensor:
        """Weighted scalar; 0 where it is off."""
        if self.features is None:
            return reconstruction.new_zeros(())
        with torch.no_grad():
            originals = self.features(target / 2 + 0.5)
        imitations = self.features(reconstruction / 2 + 0.5)
        distances = [
            (normalize(a, dim=1) - normalize(b, dim=1)).square().sum(dim=1).mean()
            for a, b in zip(imitations, originals)
        ]
        return self.weight * torch.stack(distances).sum()
