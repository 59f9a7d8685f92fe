"""What a datamodule is given from outside: a collate that packs, and transforms that run before it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from tokenizers_vq.contract.batch import TokenBatch
from tokenizers_vq.contract.randomness import Key


class BatchTransform(Protocol):
    """Changes a TokenBatch before packing: modality dropping, condition dropout, length queries, mis-pairing.

    Under a token budget it also runs on batches whose codes are all 0, to learn how long the samples become: which
    segments it keeps, and their shapes, must follow from key, sample ids and shapes, not from the values of codes.
    """

    def __call__(self, batch: TokenBatch, key: Key) -> TokenBatch: ...


class Collate(Protocol):
    """Turns a TokenBatch into what the model is trained on; runs in the data workers."""

    def __call__(self, batch: TokenBatch, key: Key) -> Any: ...


@runtime_checkable
class StepCollate(Collate, Protocol):
    """A collate that can make the batches of one optimizer step together, so that each knows the step's counts."""

    def of_step(self, batches: Sequence[TokenBatch], key: Key) -> list[Any]:
        """One batch for each of `batches`."""
        ...


@dataclass(frozen=True)
class TokenBudget:
    """The one shape of every packed batch.

    Args:
        rows: N, packed rows: tokens and special rows.
        samples: most samples of a pack.
        segments: most segments of a pack; where None, one of each modality for each sample.
        longest: most rows of a sample, those that fill up a pack included; for a model with such a bound (max_length,
            a table of positions). None = no bound.

    Raises:
        ValueError: what is no whole number of at least 1.
    """

    rows: int
    samples: int
    segments: int | None = None
    longest: int | None = None

    def __post_init__(self) -> None:
        given = [
            value for value in (self.rows, self.samples, self.segments, self.longest) if value is not None
        ]
        if not all(isinstance(value, int) and value >= 1 for value in given):
            raise ValueError(
                f"token budget of rows={self.rows}, samples={self.samples}, segments={self.segments}, longest="
                f"{self.longest}: expected whole numbers of at least 1"
            )

    @property
    def places(self) -> int:
        """Samples of a filled pack: the most real ones, and as many more as the rows that fill it up may need."""
        return self.samples + (1 if self.longest is None else -(-self.rows // self.longest))


@runtime_checkable
class BudgetCollate(StepCollate, Protocol):
    """A collate whose batches all have the shape of its budget, where it has one."""

    budget: TokenBudget | None

    def count_rows(self, batch: TokenBatch) -> Tensor:
        """(B,) int64 packed rows of each sample; reads no codes."""
        ...
