"""What a block needs beside the rows: built once a forward."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from maskmm.nn.bias.base import BoundBias
from maskmm.nn.layout import AttentionLayout
from maskmm.rows import AskedRows


@dataclass(frozen=True)
class LayerContext:
    """Surroundings of one layer in one forward.

    Attributes:
        layout: who may attend to whom, with the layer's window.
        angles: (cos, sin) of the rotary positions, each (N, 1, K / 2); None = none.
        bias: what is added to attention scores; None = nothing.
        keep: factors (N, 1) of the attention's and the feed-forward's output, 0 where drop path leaves a sample's
            branch out; None = no drop path.
        asked: rows that the layer answers for, all others being only seen; None = all. `keep` then has these rows.
    """

    layout: AttentionLayout
    angles: tuple[Tensor, Tensor] | None = None
    bias: BoundBias | None = None
    keep: tuple[Tensor, Tensor] | None = None
    asked: AskedRows | None = None

    def asking(self, asked: AskedRows) -> LayerContext:
        """The same surroundings of a layer that answers for some rows alone."""
        keep = None if self.keep is None else (self.keep[0][asked.index], self.keep[1][asked.index])
        return replace(self, keep=keep, asked=asked)

    def answering(self, x_ND: Tensor) -> Tensor:
        """The rows that the layer answers for."""
        return x_ND if self.asked is None else x_ND[self.asked.index]
