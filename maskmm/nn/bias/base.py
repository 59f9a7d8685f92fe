"""What every positional bias does: bind to a packed sequence, then answer for pairs of rows."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from maskmm.nn.layout import PairBias
from maskmm.sequence import TokenSequence


class PositionBias(nn.Module, ABC):
    """A function of where two rows are, for each head."""

    @abstractmethod
    def bind(self, sequence: TokenSequence) -> PairBias:
        """(query rows (..., Lq), key rows (..., Lk)) -> (..., H, Lq, Lk), for rows of this sequence."""


def differences(place: Tensor, rows_q: Tensor, rows_k: Tensor) -> Tensor:
    """(..., Lq, Lk, A): key's place minus query's, of places (N, A)."""
    return place[rows_k].unsqueeze(-3) - place[rows_q].unsqueeze(-2)
