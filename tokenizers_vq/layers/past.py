"""What causal layers remember from one chunk of a sequence to the next."""

from __future__ import annotations

from torch import Tensor, nn


class Past:
    """Memory of one pass over one sequence, or one batch of them, in chunks; each layer keeps what it needs.

    A layer keeps its share of the memory before it returns. Whoever drives the chunks calls `move_on` after each, so
    that layers know whether the sequence has begun.

    Attributes:
        is_start: True in the first chunk, in which nothing has been kept yet.
    """

    def __init__(self) -> None:
        self.is_start = True
        self._kept: dict[nn.Module, Tensor] = {}

    def of(self, layer: nn.Module) -> Tensor:
        """What the layer kept in the chunk before.

        Raises:
            ValueError: it kept nothing, so the layer is not one that ran in the chunk before.
        """
        if layer not in self._kept:
            raise ValueError(
                f"a {type(layer).__name__} has no memory of the chunk before; expected the model that began it"
            )
        return self._kept[layer]

    def __contains__(self, layer: object) -> bool:
        return layer in self._kept

    def keep(self, layer: nn.Module, value: Tensor) -> None:
        """Remember `value` for the layer's next chunk, in place of what it kept."""
        self._kept[layer] = value

    def move_on(self) -> None:
        """A chunk is done."""
        self.is_start = False
