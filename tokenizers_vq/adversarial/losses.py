"""Adversarial losses of one tensor of logits, above 0 for "real"."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor
from torch.nn.functional import relu, softplus

from tokenizers_vq.contract import Described


class AdversarialLoss(Described, ABC):
    """A pair of losses: what the discriminator minimises, and what the tokenizer does."""

    @abstractmethod
    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """Scalar loss of logits of media and of reconstructions."""

    @abstractmethod
    def generator(self, fake: Tensor) -> Tensor:
        """Scalar loss of logits of reconstructions."""


class Hinge(AdversarialLoss):
    """Lim and Ye, "Geometric GAN" (2017); VQGAN's and EnCodec's loss."""

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """Mean of both hinges, as in VQGAN."""
        return (relu(1 - real).mean() + relu(1 + fake).mean()) / 2

    def generator(self, fake: Tensor) -> Tensor:
        """Minus the mean logit."""
        return -fake.mean()


class NonSaturating(AdversarialLoss):
    """Goodfellow et al., "Generative Adversarial Nets" (2014), section 3; loss of StyleGAN, MaskGIT and MAGVIT."""

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """Binary cross-entropy of both."""
        return softplus(-real).mean() + softplus(fake).mean()

    def generator(self, fake: Tensor) -> Tensor:
        """Cross-entropy against "real"."""
        return softplus(-fake).mean()


class LeastSquares(AdversarialLoss):
    """Mao et al., "Least Squares Generative Adversarial Networks" (2016); HiFi-GAN's and DAC's loss."""

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """Squared distances to 1 for media and to 0 for reconstructions."""
        return (real - 1).square().mean() + fake.square().mean()

    def generator(self, fake: Tensor) -> Tensor:
        """Squared distance to 1."""
        return (fake - 1).square().mean()
