"""Which draws a rank has at a step, in one or more parts: by number of samples, or by packs of a token budget."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from datamodules.packs import PackCursor, PackPlan
from datamodules.plan import BatchPlan
from tokenizers_vq.contract import Key


class Shares(ABC):
    """The parts of a step are the batches whose gradients are accumulated; together they are this rank's step."""

    @abstractmethod
    def draws(self, step: int) -> list[Tensor]:
        """(b,) int64 running numbers of each part."""

    @abstractmethod
    def transform_key(self, key: Key, step: int) -> Key:
        """The key of a step's transforms."""

    def cursor(self, step: int) -> dict[str, Any]:
        """What the shares of a resumed run must be told, beside the step."""
        return {}

    def starting_at(self, cursor: dict[str, Any]) -> Shares:
        """Shares that go on at a cursor of an interrupted run."""
        return self


@dataclass(frozen=True)
class SampleShares(Shares):
    """A fixed number of samples a step, however long they are."""

    plan: BatchPlan
    rank: int = 0
    world_size: int = 1
    num_parts: int = 1

    def draws(self, step: int) -> list[Tensor]:
        """Ranks take turns, and so do the parts of a rank."""
        num_shares = self.world_size * self.num_parts
        return [
            self.plan.draws(step, self.rank + part * self.world_size, num_shares)
            for part in range(self.num_parts)
        ]

    def transform_key(self, key: Key, step: int) -> Key:
        """Of the step."""
        return key.at(step)


@dataclass(frozen=True)
class PackShares(Shares):
    """A fixed number of packs a step, each a part of one rank.

    Raises:
        ValueError: packs that cannot be shared out evenly.
    """

    packs: PackPlan
    packs_per_step: int
    rank: int = 0
    world_size: int = 1

    def __post_init__(self) -> None:
        if self.packs_per_step % self.world_size:
            raise ValueError(
                f"batch_size={self.packs_per_step} packs a step over {self.world_size} ranks; under a token budget "
                "every rank has the same number of packs: choose a multiple"
            )

    @property
    def num_parts(self) -> int:
        """Packs of a rank at a step."""
        return self.packs_per_step // self.world_size

    def draws(self, step: int) -> list[Tensor]:
        """Ranks take turns."""
        first = step * self.packs_per_step
        return [
            self.packs.draws(first + pack) for pack in range(self.rank, self.packs_per_step, self.world_size)
        ]

    def transform_key(self, key: Key, step: int) -> Key:
        """Without the step: a sample is transformed before its step is known."""
        return key

    def cursor(self, step: int) -> dict[str, Any]:
        """The place in the walk over the packs."""
        here = self.packs.cursor(step * self.packs_per_step)
        return {"buffer": here.buffer, "pack": here.pack, "carried": list(here.carried)}

    def starting_at(self, cursor: dict[str, Any]) -> PackShares:
        """Shares whose walk starts at the cursor."""
        start = PackCursor(cursor["buffer"], cursor["pack"], tuple(cursor["carried"]))
        return replace(self, packs=replace(self.packs, start=start))
