"""What a block needs beside the rows: built once a forward."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from maskmm.nn.layout import AttentionLayout, PairBias


@dataclass(frozen=True)
class LayerContext:
    """Surroundings of one layer in one forward.

    Attributes:
        layout: who may attend to whom, with the layer's window.
        angles: (cos, sin) of the rotary positions, each (N, 1, K / 2); None = none.
        bias: what is added to attention scores; None = nothing.
        keep: factors (N, 1) of the attention's and the feed-forward's output, 0 where drop path leaves a sample's
            branch out; None = no drop path.
    """

    layout: AttentionLayout
    angles: tuple[Tensor, Tensor] | None = None
    bias: PairBias | None = None
    keep: tuple[Tensor, Tensor] | None = None
