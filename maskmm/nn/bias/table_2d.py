"""A learned bias for each offset on a grid (Bao et al., BEiT, 2022)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maskmm.nn.bias.base import differences
from maskmm.nn.bias.indexed import IndexedBias
from maskmm.sequence import TokenSequence
from maskmm.vocabulary import Vocabulary


class TableBias(IndexedBias):
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
        height, width = (max(shape[i] for shape in grids.values()) for i in range(2))
        self.numbers = (height, width)
        axes = torch.full((len(vocabulary.names) + 1, 2), -1, dtype=torch.int64)
        for name in grids:
            index = vocabulary.index(name)
            axes[index] = torch.tensor([vocabulary.axes.index(axis) for axis in vocabulary.spec(name).axes])
        self.register_buffer("axes", axes, persistent=False)
        self.table = nn.Embedding((2 * height - 1) * (2 * width - 1) + 3, num_heads)

    def place(self, sequence: TokenSequence) -> Tensor:
        """(N, 3): a number for the grid that a row lies on ([CLS] -1, rows on none -2), and its place there."""
        axes_N2 = self.axes[sequence.modality]
        place_N2 = sequence.position.gather(1, axes_N2.clamp(min=0))
        grid_N = torch.where(axes_N2[:, 0] >= 0, sequence.segment, -2)
        grid_N = torch.where(sequence.segment < 0, -1, grid_N)
        return torch.cat([grid_N[:, None], place_N2], dim=1)

    def values_table(self) -> Tensor:
        """Published rows, then one of zeros."""
        return F.pad(self.table.weight, (0, 0, 0, 1))

    @classmethod
    def index(cls, place_q: Tensor, place_k: Tensor, numbers: Sequence[int]) -> Tensor:
        """See `IndexedBias.index`."""
        height, width = numbers
        nothing = (2 * height - 1) * (2 * width - 1) + 3
        grid_q, grid_k = place_q[..., 0].unsqueeze(-1), place_k[..., 0].unsqueeze(-2)
        dy, dx = (-differences(place_q[..., 1:], place_k[..., 1:])).unbind(-1)
        index = (dy + height - 1) * (2 * width - 1) + dx + width - 1
        index = torch.where((grid_q == grid_k) & (grid_q >= 0), index, nothing)
        is_cls_q, is_cls_k = (grid_q == -1) & (grid_k != -2), (grid_k == -1) & (grid_q != -2)
        index = torch.where(is_cls_q, nothing - 3, index)
        index = torch.where(is_cls_k, nothing - 2, index)
        return torch.where(is_cls_q & is_cls_k, nothing - 1, index).unsqueeze(-1)
