"""What each layer of one forward needs beside the rows."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from maskmm.nn.bias import PositionBias
from maskmm.nn.context import LayerContext
from maskmm.nn.coordinates import coordinates
from maskmm.nn.draws import NOTHING, LayerDraws
from maskmm.nn.layout import AttentionLayout
from maskmm.nn.rotary import AxialRotary
from maskmm.nn.transformer_config import TransformerConfig
from maskmm.sequence import TokenSequence


def layer_contexts(
    config: TransformerConfig,
    sequence: TokenSequence,
    layout: AttentionLayout,
    rotary: AxialRotary | None,
    local_rotary: AxialRotary | None,
    biases: nn.ModuleList,
    draws: Sequence[LayerDraws] | None = None,
    rows: Tensor | None = None,
) -> list[LayerContext]:
    """One context a layer.

    Args:
        config: of the stack of layers.
        sequence: packed rows, which say where each is.
        layout: who may attend to whom; over `rows` where these are given.
        rotary, local_rotary: angles of layers without and with a window.
        biases: none, one that all layers share, or one a layer.
        draws: of each layer and of the rows that the layers see; None = none.
        rows: (M,) int64, the rows that the layers see; None = all. Each stays where it is in the whole.
    """
    place_NA = coordinates(sequence, config.positions.source)
    place_NA = place_NA if rows is None else place_NA[rows]
    angles = rotary(place_NA) if rotary is not None else None
    local = local_rotary(place_NA) if local_rotary is not None else angles
    bound = [bias.bind(sequence) for bias in biases if isinstance(bias, PositionBias)]
    if rows is not None:
        bound = [bias.of_rows(rows) for bias in bound]
    return [
        LayerContext(
            layout.with_window(window),
            angles if window is None else local,
            bound[layer % len(bound)] if bound else None,
            NOTHING if draws is None else draws[layer],
        )
        for layer, window in enumerate(map(config.attention.window_of, range(config.depth)))
    ]
