"""What training asks of a model: named sums and counts, so that packing and sharding do not change the loss."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from torch import Tensor, nn

from maskmm.masking.base import MaskedSequence
from maskmm.sequence import TokenSequence
from maskmm.vocabulary import Vocabulary
from tokenizers_vq.contract import Key


class MaskedModel(Protocol):
    """What objectives and decoders need of a model."""

    vocabulary: Vocabulary

    def forward_features(self, sequence: TokenSequence) -> Tensor:
        """(N, D) features after the last norm."""
        ...

    def logits(self, features: Tensor, name: str, codebook: int) -> Tensor:
        """(T, D) features -> (T, V) logits over the codes of one codebook; linear in the features."""
        ...

    def logits_of(self, questions: Sequence[tuple[Tensor, str, int]]) -> list[Tensor]:
        """`logits` of several (features, name, codebook) in one go; for training, decoders do without."""
        ...


@runtime_checkable
class TableHead(Protocol):
    """A model whose logits are rows times one table of all modalities."""

    @property
    def head_transform(self) -> Callable[[Tensor], Tensor]:
        """(T, D) features -> (T, D) rows."""
        ...

    def head_table(self) -> tuple[Tensor, Tensor | None]:
        """(V, D) table and (V,) bias, by joint id."""
        ...


@dataclass(frozen=True)
class ObjectiveOutput:
    """Parts of a loss.

    Attributes:
        parts: name ("image/0/masked") -> (sum, count), both scalars; the sum carries the gradient.
        metrics: name -> (sum, count) of detached scalars to log.

    Both name everything the objective could ask, also what this batch does not (count 0): ranks sum them in a table.
    """

    parts: dict[str, tuple[Tensor, Tensor]]
    metrics: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict)


class Objective(nn.Module, ABC):
    """(model, batch, key) -> ObjectiveOutput; may own heads."""

    @abstractmethod
    def forward(self, model: MaskedModel, batch: MaskedSequence, key: Key) -> ObjectiveOutput:
        """Parts of the loss of one batch; `key` is for objectives that sample."""
