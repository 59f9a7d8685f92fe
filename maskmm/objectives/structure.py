"""What restricts attention in training: a predicate from the orders or groups that a masking gives its rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

from torch import Tensor

from maskmm.masking.base import MaskedSequence
from maskmm.nn.layout import AttentionLayout, Predicate
from maskmm.nn.structure import block_causal, hybrid, permutation
from maskmm.objectives.base import MaskedModel
from maskmm.sequence import TokenSequence

Structure = Callable[[MaskedSequence], Predicate]
"""Who may attend to whom in a masked batch."""


@runtime_checkable
class StructuredModel(Protocol):
    """A model whose attention can be restricted."""

    def layout(self, sequence: TokenSequence, predicate: Predicate | None = None) -> AttentionLayout:
        """Who may attend to whom."""
        ...

    def forward_features(self, sequence: TokenSequence, layout: AttentionLayout | None = None) -> Tensor:
        """(N, D) features after the last norm."""
        ...


def layout_of(
    model: MaskedModel, batch: MaskedSequence, structure: Structure | None
) -> AttentionLayout | None:
    """Who may attend to whom in a masked batch, None = all; ValueError where the model's attention has no choice."""
    if structure is None:
        return None
    if not isinstance(model, StructuredModel):
        raise ValueError(
            f"{type(model).__name__} has no layout(sequence, predicate), so its attention cannot follow "
            f"{type(structure).__name__}; use structure=None, or a MaskedTransformer"
        )
    return model.layout(batch.inputs, structure(batch))


class Permuted:
    """Rows see rows of no greater `order`; raises ValueError where the masking gives none."""

    def __call__(self, batch: MaskedSequence) -> Predicate:
        """See `maskmm.nn.structure.permutation`."""
        return permutation(_given(batch.order, "order", self))


class BlockCausal:
    """Rows see their own `group` and earlier ones; raises ValueError where the masking gives none."""

    def __call__(self, batch: MaskedSequence) -> Predicate:
        """See `maskmm.nn.structure.block_causal`."""
        return block_causal(_given(batch.group, "group", self))


class Hybrid:
    """Visible rows see the visible, masks also masks of no later rank; raises ValueError without an `order`.

    Args:
        sees_later: masks see masks of the same and later ranks instead.
    """

    def __init__(self, sees_later: bool = False) -> None:
        self.sees_later = sees_later

    def __call__(self, batch: MaskedSequence) -> Predicate:
        """See `maskmm.nn.structure.hybrid`."""
        return hybrid(_given(batch.order, "order", self), sees_later=self.sees_later)


def _given(value: Tensor | None, name: str, structure: Structure) -> Tensor:
    if value is None:
        raise ValueError(
            f"{type(structure).__name__} needs the {name} of each row, and the masking gives none; choose a masking "
            f"that sets MaskedSequence.{name}"
        )
    return value
