"""Losses of reconstructed pixels."""

from __future__ import annotations

import torch
from torch import Tensor

from tokenizers_vq.contract import Described

_MARGIN = 0.1  # of DALL-E's map of pixels into (0, 1), where a logit is finite


class PixelLoss(Described):
    """Weighted sum of the mean absolute and the mean squared difference, in units of [-1, 1].

    Args:
        l1: weight of the absolute difference.
        l2: weight of the squared one.
    """

    def __init__(self, l1: float = 1.0, l2: float = 1.0) -> None:
        self.l1, self.l2 = l1, l2

    def __call__(self, reconstruction: Tensor, target: Tensor) -> Tensor:
        """Scalar."""
        difference = reconstruction - target
        return self.l1 * difference.abs().mean() + self.l2 * difference.square().mean()


class LogitLaplace(Described):
    """Negative log-likelihood of pixels under a Laplace distribution of their logits.

    Ramesh et al., "Zero-Shot Text-to-Image Generation" (DALL-E, 2021), appendix A.3. Pixels in [0, 1] are mapped to
    0.8 x + 0.1, so that their logits are finite.

    Args:
        smallest_scale: bound of the distribution's scale; without one the likelihood of flat regions has no bound.
    """

    def __init__(self, smallest_scale: float = 0.01) -> None:
        self.smallest_scale = smallest_scale

    def __call__(self, parameters: Tensor, target: Tensor) -> Tensor:
        """Scalar, in nats a value.

        Args:
            parameters: (B, 2 C, H, W): locations, then logarithms of scales.
            target: (B, C, H, W) in [-1, 1].
        """
        location, log_scale = parameters.chunk(2, dim=1)
        y = (1 - 2 * _MARGIN) * (target / 2 + 0.5) + _MARGIN
        scale = log_scale.exp() + self.smallest_scale
        distance = (torch.logit(y) - location).abs() / scale
        return (distance + (2 * scale * y * (1 - y)).log()).mean()

    @staticmethod
    def mode(parameters: Tensor) -> Tensor:
        """Images (B, C, H, W) in about [-1, 1] at the locations."""
        location, _ = parameters.chunk(2, dim=1)
        return 2 * (torch.sigmoid(location) - _MARGIN) / (1 - 2 * _MARGIN) - 1
