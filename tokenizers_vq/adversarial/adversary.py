"""A discriminator with everything that training against it takes."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from tokenizers_vq.adversarial.discriminator import Discriminator
from tokenizers_vq.adversarial.feature_matching import FeatureMatching
from tokenizers_vq.adversarial.gradient_penalty import GradientPenalty
from tokenizers_vq.adversarial.lecam import LeCam
from tokenizers_vq.adversarial.losses import AdversarialLoss, Hinge
from tokenizers_vq.adversarial.weighting import FixedWeight, Weighting
from tokenizers_vq.trainable import TokenizerOutput


class Adversary(nn.Module):
    """Given to a TokenizerModule, it makes the training adversarial; the medium does not matter.

    Args:
        discriminator: judges `TokenizerOutput.target` against `.reconstruction`.
        loss: of the logits; hinge where not given.
        weighting: how the losses of the tokenizer become one; a fixed 0.1 where not given.
        start_step: first step in which the discriminator learns; the reconstruction is blurred but right by then.
        generator_delay: steps after that until the tokenizer feels it.
        gradient_penalty: R1; none where not given.
        lecam: none where not given.
        feature_matching: none where not given.
        lr: peak learning rate of the discriminator; the tokenizer's where not given.
        betas: of the discriminator's Adam.
        max_grad_norm: largest gradient norm of tokenizer and discriminator, each; None clips nothing. (The Trainer's
            own clipping does not work where there are two optimizers.)

    Raises:
        ValueError: negative steps.
    """

    def __init__(
        self,
        discriminator: Discriminator,
        loss: AdversarialLoss | None = None,
        weighting: Weighting | None = None,
        start_step: int = 0,
        generator_delay: int = 0,
        gradient_penalty: GradientPenalty | None = None,
        lecam: LeCam | None = None,
        feature_matching: FeatureMatching | None = None,
        lr: float | None = None,
        betas: tuple[float, float] = (0.5, 0.9),
        max_grad_norm: float | None = 1.0,
    ) -> None:
        super().__init__()
        if start_step < 0 or generator_delay < 0:
            raise ValueError(
                f"start_step={start_step}, generator_delay={generator_delay}: expected 0 or more"
            )
        self.discriminator = discriminator
        self.loss = loss or Hinge()
        self.weighting = weighting or FixedWeight()
        self.start_step, self.generator_delay = start_step, generator_delay
        self.gradient_penalty, self.lecam, self.feature_matching = gradient_penalty, lecam, feature_matching
        self.lr, self.betas, self.max_grad_norm = lr, betas, max_grad_norm

    def is_learning(self, step: int) -> bool:
        """True in steps in which the discriminator learns."""
        return step >= self.start_step

    def tokenizer_loss(
        self, out: TokenizerOutput, step: int, last_layer: Tensor | None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The scalar for the tokenizer to minimise, and detached scalars for the log.

        The discriminator's parameters should not require gradients meanwhile.
        """
        adversarial: dict[str, Tensor] = {}
        if step >= self.start_step + self.generator_delay:
            fake = self.discriminator(out.reconstruction)
            adversarial["adversarial"] = _mean(self.loss.generator, fake.logits)
            if self.feature_matching is not None:
                with torch.no_grad():
                    real = self.discriminator(out.target)
                adversarial["feature_matching"] = self.feature_matching(real.features, fake.features)
        total, metrics = self.weighting(out, adversarial, last_layer)
        return total, {name: value.detach() for name, value in (adversarial | metrics).items()}

    def discriminator_loss(self, real: Tensor, fake: Tensor, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """The scalar for the discriminator to minimise, and detached scalars for the log.

        Args:
            real: `out.target`.
            fake: `out.reconstruction`, which gets no gradient.
            step: training step, which decides whether a gradient penalty is due.
        """
        real_logits = self.discriminator(real.detach()).logits
        fake_logits = self.discriminator(fake.detach()).logits
        parts = {"discriminator": _mean(self.loss.discriminator, real_logits, fake_logits)}
        if self.lecam is not None:
            flat = [torch.cat([one.flatten() for one in many]) for many in (real_logits, fake_logits)]
            parts["lecam"] = self.lecam(*flat)
        if self.gradient_penalty is not None and self.gradient_penalty.is_due(step):
            parts["gradient_penalty"] = self.gradient_penalty(self.discriminator, real)
        with torch.no_grad():
            said = {
                "logits_real": torch.stack([one.mean() for one in real_logits]).mean(),
                "logits_fake": torch.stack([one.mean() for one in fake_logits]).mean(),
            }
        total = torch.stack(list(parts.values())).sum()
        return total, {name: value.detach() for name, value in (parts | said).items()}


def _mean(loss: Callable[..., Tensor], *logits: list[Tensor]) -> Tensor:
    """Mean of a loss over sub-discriminators."""
    return torch.stack([loss(*each) for each in zip(*logits)]).mean()
