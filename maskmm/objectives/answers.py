"""Features of the rows that a masked batch asks."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import Tensor

from maskmm.masking.base import MaskedSequence
from maskmm.nn.layout import AttentionLayout
from maskmm.objectives.base import MaskedModel
from maskmm.objectives.structure import Structure, StructuredModel, layout_of
from maskmm.rows import AskedRows, EncodedRows
from maskmm.sequence import TokenSequence


@runtime_checkable
class AskedModel(Protocol):
    """A model that can answer for some rows without computing all."""

    def forward_asked(
        self,
        sequence: TokenSequence,
        asked: AskedRows,
        layout: AttentionLayout | None = None,
        encoded: EncodedRows | None = None,
    ) -> Tensor:
        """(R, D) features for the head of the asked rows."""
        ...


def features_of(
    model: MaskedModel, batch: MaskedSequence, rows: Tensor, structure: Structure | None = None
) -> Tensor:
    """(T, D) features of asked rows, in one gather: several would each write a gradient of all rows.

    Args:
        model: computes the last layer for asked rows alone where it can.
        batch: masked.
        rows: (T,) int64, rows of the batch's questions; a row may come several times.
        structure: who may attend to whom; None = all rows of a sample.

    Raises:
        ValueError: a structure for a model whose attention cannot be restricted, or rows left out for one that cannot
            put them back.
    """
    layout = layout_of(model, batch, structure)
    if batch.asked is not None and isinstance(model, AskedModel):
        answers = model.forward_asked(batch.inputs, batch.asked, layout, batch.encoded)
        return answers[batch.asked.place_of(rows)]
    if batch.encoded is not None:
        raise ValueError(
            f"the masking leaves rows out of the encoder, and {type(model).__name__} has no forward_asked(sequence, "
            "asked, layout, encoded) that could put them back; use a MaskedTransformer, or another masking"
        )
    if layout is None:
        return model.forward_features(batch.inputs)[rows]
    assert isinstance(model, StructuredModel)
    return model.forward_features(batch.inputs, layout)[rows]
