"""A learned bias for each offset on a grid (Bao et al., BEiT, 2022)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from maskmm.nn.bias.base import PositionBias
from maskmm.nn.layout import PairBias
from maskmm.sequence import TokenSequence
from maskmm.vocabulary import Vocabulary


class TableBias(PositionBias):
    """One value for each (dy, dx) and head between rows of one segment, and three for pairs with [CLS].

    Rows are ordered as published tables are: offset query minus key, (2 H - 1)(2 W - 1) of them, then [CLS] as the
    query, [CLS] as the key, [CLS] as both. Other pairs (two segments, modalities without two axes) get 0.

    Args:
        num_heads: heads.
        vocabulary: the largest fixed grids of its two-axis modalities give H and W.

    Raises:
        ValueError: no modality with a fixed grid of two axes.
    """

    axes: Tensor

    def __init__(self, num_heads: int, vocabulary: Vocabulary) -> None:
        super().__init__()
        grids = {
            m.name: m.spec.shape() for m in vocabulary.modalities if m.spec.is_fixed and len(m.spec.axes) == 2
        }
        if not grids:
            raise ValueError(
                f"bias='table_2d' with modalities {list(vocabulary.names)}: none has a fixed grid of two axes"
            )
        self.height, self.width = (max(shape[i] for shape in grids.values()) for i in range(2))
        axes = torch.full((len(vocabulary.names) + 1, 2), -1, dtype=torch.int64)
        for name in grids:
            index = vocabulary.index(name)
            axes[index] = torch.tensor([vocabulary.axes.index(axis) for axis in vocabulary.spec(name).axes])
        self.register_buffer("axes", axes, persistent=False)
        self.table = nn.Embedding((2 * self.height - 1) * (2 * self.width - 1) + 3, num_heads)

    def bind(self, sequence: TokenSequence) -> PairBias:
        """See `PositionBias.bind`."""
        axes_N2 = self.axes[sequence.modality]
        place_N2 = sequence.position.gather(1, axes_N2.clamp(min=0))
        # A number for the grid that a row lies on; [CLS] and rows on none apart.
        grid_N = torch.where(axes_N2[:, 0] >= 0, sequence.segment, -2)
        grid_N = torch.where(sequence.segment < 0, -1, grid_N)

        def bias(rows_q: Tensor, rows_k: Tensor) -> Tensor:
            grid_q, grid_k = grid_N[rows_q].unsqueeze(-1), grid_N[rows_k].unsqueeze(-2)
            offset = place_N2[rows_q].unsqueeze(-2) - place_N2[rows_k].unsqueeze(-3)
            dy, dx = offset.unbind(-1)
            index = (dy + self.height - 1) * (2 * self.width - 1) + dx + self.width - 1
            num = self.table.num_embeddings
            is_cls_q, is_cls_k = (grid_q == -1) & (grid_k != -2), (grid_k == -1) & (grid_q != -2)
            index = torch.where(is_cls_q, num - 3, index)
            index = torch.where(is_cls_k, num - 2, index)
            index = torch.where(is_cls_q & is_cls_k, num - 1, index)
            is_known = ((grid_q == grid_k) & (grid_q >= 0)) | is_cls_q | is_cls_k
            values = self.table(torch.where(is_known, index, 0)) * is_known.unsqueeze(-1)
            return values.movedim(-1, -3)

        return bias
