"""How tokens talk to each other."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from maskmm.nn.context import LayerContext


class Mixer(nn.Module, ABC):
    """The branch of a block in which rows see other rows; attention is one.

    A row may depend on the rows that `context.layout` lets it see, and never on another sample's.
    """

    @abstractmethod
    def forward(self, x_ND: Tensor, context: LayerContext) -> Tensor:
        """(N, D) -> (N, D)."""

    def answer(self, x_ND: Tensor, context: LayerContext) -> Tensor:
        """(N, D) -> (N, D), or (R, D) of the R asked rows; a mixer that need not compute the others overrides it."""
        return context.answering(self(x_ND, context))
