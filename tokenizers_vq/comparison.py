"""Losses between reconstruction and target that are added to a tokenizer's own."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn


class Comparison(nn.Module, ABC):
    """A weighted loss of reconstructions against targets, both in the units of `TokenizerOutput`.

    Perceptual losses are of this kind. They belong to the training, not to the tokenizer: no folder holds them.
    """

    @abstractmethod
    def forward(self, reconstruction: Tensor, target: Tensor) -> Tensor:
        """Weighted scalar."""
