"""Losses whose weights are shares of the gradient, not factors of the losses.

Defossez et al., "High Fidelity Neural Audio Compression" (EnCodec, 2022), section 3.4, "Balancer".
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from tokenizers_vq.adversarial.weighting import Weighting
from tokenizers_vq.quantizers.distributed import mean_over_ranks
from tokenizers_vq.trainable import TokenizerOutput

_EPSILON = 1e-12
_LATER = ("adversarial", "feature_matching")  # absent until the discriminator has started


class Balancer(Weighting):
    """Each named loss gets its share of a gradient of fixed norm at the reconstruction, whatever its own scale.

    Losses are the tokenizer's own parts and the comparisons, by name, beside "adversarial" and "feature_matching";
    factors of their own (`MultiScaleMel(weight=...)`) have no effect then. Parts without a share (the quantizer's loss)
    are added as they are. Norms are averaged over steps, samples and ranks.

    Args:
        shares: weights of the losses; they are divided by the sum of those that are there. EnCodec's of 24 kHz in
            audiocraft: reconstruction 0.1, mel 2, adversarial 4, feature_matching 4.
        total_norm: norm of the gradient of one sample.
        decay: of the averages of the norms.

    Raises:
        ValueError: no shares, or one that is not above 0, decay outside [0, 1). In use: a share of a loss that does
            not exist or does not depend on the reconstruction, an adversarial loss without a share.
    """

    total_P: Tensor
    count_P: Tensor

    def __init__(self, shares: dict[str, float], total_norm: float = 1.0, decay: float = 0.999) -> None:
        super().__init__()
        if not shares or min(shares.values()) <= 0 or not 0 <= decay < 1:
            raise ValueError(
                f"shares={shares}, decay={decay}: expected shares above 0 and a decay from 0 to below 1"
            )
        self.shares, self.total_norm, self.decay = dict(shares), total_norm, decay
        self.register_buffer("total_P", torch.zeros(len(shares)))
        self.register_buffer("count_P", torch.zeros(len(shares)))

    def forward(
        self, out: TokenizerOutput, adversarial: Mapping[str, Tensor], last_layer: Tensor | None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Logs each loss's mean norm as "gradient/name". The loss's value has no meaning, its gradient has."""
        losses = out.parts | dict(adversarial)
        self._check(losses, adversarial)
        combined = torch.zeros_like(out.reconstruction)
        metrics = {}
        total_share = sum(share for name, share in self.shares.items() if name in losses)
        for index, (name, share) in enumerate(self.shares.items()):
            if name not in losses:
                continue
            gradient = self._gradient(losses[name], out.reconstruction, name)
            norm = self._averaged(gradient, index)
            metrics[f"gradient/{name}"] = norm
            combined = combined + gradient * (self.total_norm * share / total_share / (norm + _EPSILON))
        others = [loss for name, loss in out.parts.items() if name not in self.shares]
        balanced = (out.reconstruction * combined).sum()
        return sum(others, start=balanced), metrics

    def _check(self, losses: Mapping[str, Tensor], adversarial: Mapping[str, Tensor]) -> None:
        missing = [name for name in self.shares if name not in losses and name not in _LATER]
        extra = [name for name in adversarial if name not in self.shares]
        if missing or extra:
            raise ValueError(
                f"shares of {sorted(self.shares)}, but there are losses {sorted(losses)}; expected no share of "
                f"{missing} and one of {extra}"
            )

    def _gradient(self, loss: Tensor, reconstruction: Tensor, name: str) -> Tensor:
        gradient = None
        if loss.requires_grad:
            (gradient,) = torch.autograd.grad(loss, reconstruction, retain_graph=True, allow_unused=True)
        if gradient is None:
            raise ValueError(
                f"the loss {name!r} does not depend on the reconstruction; expected one that does: leave it out of "
                "shares"
            )
        return gradient.detach()

    @torch.no_grad()
    def _averaged(self, gradient: Tensor, index: int) -> Tensor:
        """Mean norm of a sample's gradient over the steps so far, the last ones counting most."""
        norm_B = gradient.float().flatten(1).norm(dim=1)
        norm = mean_over_ranks(norm_B.sum(), norm_B.new_tensor(float(len(norm_B))))
        self.total_P[index] = self.total_P[index] * self.decay + norm
        self.count_P[index] = self.count_P[index] * self.decay + 1
        return self.total_P[index] / self.count_P[index]
