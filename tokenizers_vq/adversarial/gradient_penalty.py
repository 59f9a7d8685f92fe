"""A penalty on how steeply the discriminator's logits change around media.

Mescheder, Geiger and Nowozin, "Which Training Methods for GANs do actually Converge?" (R1, 2018); lazily as in Karras
et al., "Analyzing and Improving the Image Quality of StyleGAN" (2019), section 3.1.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tokenizers_vq.adversarial.discriminator import Discriminator
from tokenizers_vq.contract import Described


class GradientPenalty(Described):
    """R1: weight / 2 * E |gradient of the mean logit of a sample|^2, on media alone.

    Args:
        weight: gamma; MaskGIT and MAGVIT take 10 on one logit an image. A map of logits counts as its mean, which is
            flatter, so it wants a larger weight.
        every: steps from one penalty to the next, each `every` times as heavy, to save its second backward pass.

    Raises:
        ValueError: `every` below 1.
    """

    def __init__(self, weight: float = 10.0, every: int = 1) -> None:
        if every < 1:
            raise ValueError(f"every={every}: expected at least 1")
        self.weight, self.every = weight, every

    def is_due(self, step: int) -> bool:
        """True in steps that have a penalty."""
        return step % self.every == 0

    def __call__(self, discriminator: Discriminator, media: Tensor) -> Tensor:
        """Weighted scalar loss that can be differentiated by the discriminator's parameters."""
        media = media.detach().requires_grad_()
        logits = discriminator(media).logits
        score = torch.stack([one.flatten(1).mean(dim=1).sum() for one in logits]).mean()
        (gradient,) = torch.autograd.grad(score, media, create_graph=True)
        return self.every * self.weight / 2 * gradient.flatten(1).square().sum(dim=1).mean()
