"""What datamodules of media share: training batches by step, held-out samples once and in order."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from datamodules.plan import BatchPlan
from datamodules.steps import MakeBatch, ResumableLoader, StepData, StepLoader


class MediaData(StepData):
    """Batches {"media": ..., optional "lengths": (B,) int64} of one corpus, split in "train", "val" and "test".

    Args:
        batch_size, num_steps, seed, num_workers: see StepData.
    """

    @abstractmethod
    def training_batches(self) -> MakeBatch:
        """Batches of the training split by step, this rank's share."""

    @abstractmethod
    def held_out_batches(self, split: str) -> tuple[MakeBatch, int]:
        """Batches of "val" or "test" by number, batch_size samples each, and how many samples there are."""

    def train_dataloader(self) -> ResumableLoader:
        """The training split, one batch a step."""
        return self.training_loader(self.training_batches())

    def val_dataloader(self) -> StepLoader:
        """The validation split, once."""
        return self._once("val")

    def test_dataloader(self) -> StepLoader:
        """The test split, once."""
        return self._once("test")

    def numbered_draws(self) -> BatchPlan:
        """Plan of a split that is drawn anew each time: it has no epochs, the plan only numbers the draws."""
        return BatchPlan(self.batch_size, self.batch_size, self.seed)

    def _once(self, split: str) -> StepLoader:
        make_batch, count = self.held_out_batches(split)
        return StepLoader(make_batch, -(-count // self.batch_size))


@dataclass(frozen=True)
class InOrder:
    """Evaluation batches {"media": (B, ...)} of media (N, ...), in order; the last may be smaller."""

    media: Tensor
    batch_size: int

    def __call__(self, step: int) -> dict[str, Tensor]:
        """Batch number `step`."""
        return {"media": self.media[step * self.batch_size : (step + 1) * self.batch_size]}


@dataclass(frozen=True)
class PaddedInOrder:
    """Evaluation batches, see `padded`, of media (T_i, ...), in order; the last may be smaller."""

    media: list[Tensor]
    batch_size: int

    def __call__(self, step: int) -> dict[str, Tensor]:
        """Batch number `step`."""
        return padded(self.media[step * self.batch_size : (step + 1) * self.batch_size])


def padded(samples: list[Tensor]) -> dict[str, Tensor]:
    """{"media": (B, T, ...), zeros at the end, "lengths": (B,) int64} of B samples (T_b, ...)."""
    lengths = torch.tensor([len(sample) for sample in samples])
    return {"media": pad_sequence(samples, batch_first=True), "lengths": lengths}
