"""What every positional bias does: say where rows are, then what is added to the score of a pair."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor, nn

from maskmm.sequence import TokenSequence
from tokenizers_vq.contract.described import find_class, path_of


class PositionBias(nn.Module, ABC):
    """A function of where two rows are, for each head.

    It is taken apart into tensors, whole numbers and a formula, so that attention as one operator of a compiled graph
    can be given it. An operator's backward has no autograd: `table_gradient` says what it would.

    Attributes:
        numbers: constants of the formula.
    """

    numbers: tuple[int, ...] = ()

    @abstractmethod
    def place(self, sequence: TokenSequence) -> Tensor:
        """(N, P) int64: what the formula needs to know of each row."""

    @abstractmethod
    def values_table(self) -> Tensor:
        """(T, H) float: what the formula reads or is scaled by; gradients reach the module through it."""

    @classmethod
    @abstractmethod
    def values(cls, place_q: Tensor, place_k: Tensor, table: Tensor, numbers: Sequence[int]) -> Tensor:
        """(..., Lq, P) and (..., Lk, P) places of rows of one sample -> (..., H, Lq, Lk)."""

    @classmethod
    @abstractmethod
    def table_gradient(
        cls, grad: Tensor, place_q: Tensor, place_k: Tensor, table: Tensor, numbers: Sequence[int]
    ) -> Tensor:
        """(T, H) gradient of the table, where grad (..., H, Lq, Lk) is that of the values."""

    def bind(self, sequence: TokenSequence) -> BoundBias:
        """The bias of the pairs of a packed sequence."""
        return BoundBias(path_of(type(self)), self.place(sequence), self.values_table(), self.numbers)


@dataclass(frozen=True)
class BoundBias:
    """A `PairBias` of a packed sequence as data.

    Attributes:
        formula: path of the PositionBias subclass whose `values` these are.
        place: (N, P) int64, see `PositionBias.place`.
        table: (T, H) float.
        numbers: constants of the formula.
        gate: (N, H) float factors by query row and head, or None.
    """

    formula: str
    place: Tensor
    table: Tensor
    numbers: tuple[int, ...] = ()
    gate: Tensor | None = None

    def __call__(self, rows_q: Tensor, rows_k: Tensor) -> Tensor:
        """(..., Lq) and (..., Lk) row numbers -> (..., H, Lq, Lk)."""
        values = formula_of(self.formula).values(
            self.place[rows_q], self.place[rows_k], self.table, self.numbers
        )
        return values if self.gate is None else gate_of_pairs(self.gate, rows_q) * values

    def of_rows(self, rows: Tensor) -> BoundBias:
        """The bias of some rows (M,) alone, numbered anew; for a bias without a gate."""
        return replace(self, place=self.place[rows])

    def gated(self, gate_NH: Tensor) -> BoundBias:
        """The bias times a factor by query row and head."""
        return replace(self, gate=gate_NH)


def formula_of(path: str) -> type[PositionBias]:
    """The class of that path; ValueError where there is none."""
    return find_class(path, PositionBias)


def gate_of_pairs(gate_NH: Tensor, rows_q: Tensor) -> Tensor:
    """(..., H, Lq, 1)."""
    return gate_NH[rows_q].transpose(-1, -2).unsqueeze(-1)


def differences(place_q: Tensor, place_k: Tensor) -> Tensor:
    """(..., Lq, Lk, P): key's place minus query's."""
    return place_k.unsqueeze(-3) - place_q.unsqueeze(-2)
