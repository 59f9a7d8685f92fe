"""A learned mix of layers, for what is trained on features (ELMo: Peters et al., 2018; SUPERB: Yang et al., 2021)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ScalarMix(nn.Module):
    """gain * sum of softmax(weights) times layers, which lie side by side as `FeatureExtractor` gives them.

    It starts as the mean of the layers.

        features = FeatureExtractor(model, layers=[0, 6, -1])(batch)["text"]      # (B, 3 D)
        probe = nn.Sequential(ScalarMix(3), nn.Linear(D, num_classes))

    Args:
        num_layers: L.
        has_norm: each layer is first brought to mean 0 and variance 1 by row, so that weights say what a layer is worth
            and not how large its numbers are.

    Raises:
        ValueError: num_layers below 1.
    """

    def __init__(self, num_layers: int, has_norm: bool = False) -> None:
        super().__init__()
        if num_layers < 1:
            raise ValueError(f"num_layers={num_layers}, expected at least 1")
        self.num_layers, self.has_norm = num_layers, has_norm
        self.scores = nn.Parameter(torch.zeros(num_layers))
        self.gain = nn.Parameter(torch.ones(()))

    def weights(self) -> Tensor:
        """(L,) positive, of sum 1."""
        return self.scores.softmax(dim=0)

    def forward(self, x: Tensor) -> Tensor:
        """(..., L D) -> (..., D).

        Raises:
            ValueError: a width that is no multiple of L.
        """
        if x.shape[-1] % self.num_layers:
            raise ValueError(
                f"features of width {x.shape[-1]} for num_layers={self.num_layers}; extract as many layers as are mixed"
            )
        layers = x.unflatten(-1, (self.num_layers, -1))
        if self.has_norm:
            layers = F.layer_norm(layers, layers.shape[-1:])
        return self.gain * torch.einsum("...ld,l->...d", layers, self.weights())
