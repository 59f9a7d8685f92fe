"""Biases that are looked up: the pair of places says which rows of a table are added."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from maskmm.nn.bias.base import PositionBias


class IndexedBias(PositionBias):
    """The sum of some rows of the table, which the places of a pair name."""

    @classmethod
    @abstractmethod
    def index(cls, place_q: Tensor, place_k: Tensor, numbers: Sequence[int]) -> Tensor:
        """(..., Lq, P) and (..., Lk, P) places -> (..., Lq, Lk, A) int64, rows of the table."""

    @classmethod
    def values(cls, place_q: Tensor, place_k: Tensor, table: Tensor, numbers: Sequence[int]) -> Tensor:
        """See `PositionBias.values`."""
        return F.embedding(cls.index(place_q, place_k, numbers), table).sum(dim=-2).movedim(-1, -3)

    @classmethod
    def table_gradient(
        cls, grad: Tensor, place_q: Tensor, place_k: Tensor, table: Tensor, numbers: Sequence[int]
    ) -> Tensor:
        """See `PositionBias.table_gradient`."""
        total = table.new_zeros(table.shape, dtype=grad.dtype)
        grad_PH = grad.movedim(-3, -1).flatten(0, -2)
        for index in cls.index(place_q, place_k, numbers).unbind(dim=-1):
            total.index_add_(0, index.flatten(), grad_PH)
        return total
