"""How the tokenizer's own losses and the adversarial ones become one loss."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from tokenizers_vq.contract import Described
from tokenizers_vq.trainable import TokenizerOutput

_EPSILON = 1e-4


def pull_back(loss: Tensor, reconstruction: Tensor) -> Tensor:
    """A scalar with the gradient of `loss` by the tokenizer, at the cost of one pass back through the discriminator.

    Its value has no meaning: it is the inner product of the reconstruction with d loss / d reconstruction, which
    may be differentiated several times without passing the discriminator again.
    """
    (gradient,) = torch.autograd.grad(loss, reconstruction, retain_graph=True)
    return (reconstruction * gradient.detach()).sum()


class Weighting(Described, nn.Module, ABC):
    """Makes the loss that the tokenizer minimises; state it keeps belongs in buffers, so that training resumes."""

    needs_last_layer: ClassVar[bool] = False

    @abstractmethod
    def forward(
        self, out: TokenizerOutput, adversarial: Mapping[str, Tensor], last_layer: Tensor | None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The scalar to differentiate.

        Args:
            out: `out.loss` is the sum of `out.parts`, which need not be differentiable one by one;
                `out.reconstruction` is in the graph of all.
            adversarial: "adversarial" and perhaps "feature_matching", functions of `out.reconstruction` alone. Empty
                while the discriminator has not started.
            last_layer: the tokenizer's `last_layer()`.

        Returns:
            the loss, and named scalars for the log, detached.
        """


class FixedWeight(Weighting):
    """The tokenizer's loss plus a fixed multiple of each adversarial one.

    Args:
        weight: of all adversarial losses.
    """

    def __init__(self, weight: float = 0.1) -> None:
        super().__init__()
        self.weight = weight

    def forward(
        self, out: TokenizerOutput, adversarial: Mapping[str, Tensor], last_layer: Tensor | None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Weighted sum; nothing to log."""
        return out.loss + self.weight * sum(adversarial.values(), start=out.loss.new_zeros(())), {}


class AdaptiveWeight(Weighting):
    """Adversarial gradients as large as those of the tokenizer's loss at the last layer, times `weight`.

    Esser, Rombach and Ommer, "Taming Transformers for High-Resolution Image Synthesis" (2021), equation 7.

    Args:
        weight: MaskGIT's ancestor takes 0.8 with a discriminator that starts late.
        largest: bound of the factor.
    """

    needs_last_layer = True

    def __init__(self, weight: float = 0.8, largest: float = 1e4) -> None:
        super().__init__()
        self.weight, self.largest = weight, largest

    def forward(
        self, out: TokenizerOutput, adversarial: Mapping[str, Tensor], last_layer: Tensor | None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Logs the factor as "adaptive_weight"."""
        assert last_layer is not None  # the trainer has looked
        if not adversarial:
            return out.loss, {}
        pulled = pull_back(sum(adversarial.values(), start=out.loss.new_zeros(())), out.reconstruction)
        # The quantizer's losses have no gradient at the decoder's last layer.
        (own,) = torch.autograd.grad(out.loss, last_layer, retain_graph=True)
        (other,) = torch.autograd.grad(pulled, last_layer, retain_graph=True)
        factor = (own.norm() / (other.norm() + _EPSILON)).clamp(0, self.largest)
        return out.loss + self.weight * factor * pulled, {"adaptive_weight": factor}
