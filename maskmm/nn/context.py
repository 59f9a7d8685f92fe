"""What a block needs beside the rows: built once a forward."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from maskmm.nn.bias.base import BoundBias
from maskmm.nn.draws import NOTHING, LayerDraws, draws_of_rows
from maskmm.nn.layout import AttentionLayout
from maskmm.rows import AskedRows


@dataclass(frozen=True)
class LayerContext:
    """Surroundings of one layer in one forward.

    Attributes:
        layout: who may attend to whom, with the layer's window.
        angles: (cos, sin) of the rotary positions, each (N, 1, K / 2); None = none.
        bias: what is added to attention scores; None = nothing.
        draws: what training leaves out of the attention's and the feed-forward's output.
        asked: rows that the layer answers for, all others being only seen; None = all. `draws` then has these rows.
    """

    layout: AttentionLayout
    angles: tuple[Tensor, Tensor] | None = None
    bias: BoundBias | None = None
    draws: LayerDraws = NOTHING
    asked: AskedRows | None = None

    def asking(self, asked: AskedRows) -> LayerContext:
        """The same surroundings of a layer that answers for some rows alone."""
        return replace(self, draws=draws_of_rows(self.draws, asked.index), asked=asked)

    def answering(self, x_ND: Tensor) -> Tensor:
        """The rows that the layer answers for."""
        return x_ND if self.asked is None else x_ND[self.asked.index]
