"""Batches of paired tokens from a store, for training the shared model."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from datamodules.packs import PackPlan
from datamodules.paired import PairedSamples
from datamodules.pairing import ClassPairing
from datamodules.plan import BatchPlan
from datamodules.shares import PackShares, SampleShares, Shares
from datamodules.steps import ResumableLoader, StepData, StepLoader
from datamodules.store import TokenStore
from tokenizers_vq.contract import (
    BatchTransform,
    BudgetCollate,
    Collate,
    Key,
    Modality,
    ModalitySource,
    StepCollate,
    TokenBatch,
    TokenBudget,
)


@dataclass(frozen=True)
class PairedBatches:
    """The packed batch of a step, or the list of its parts.

    Attributes:
        source: the samples.
        shares: which of them at which step.
        collate: packs.
    """

    source: PairedSamples
    shares: Shares
    collate: Collate

    def tokens(self, step: int) -> TokenBatch:
        """All samples of a step before transforms and packing."""
        return self.source.tokens(torch.cat(self.shares.draws(step)))

    def __call__(self, step: int) -> Any:
        """The batch of a step, packed; a list where the step has several parts."""
        key = self.source.key
        transform_key = self.shares.transform_key(key, step)
        parts = [self.source.transformed(draws, transform_key) for draws in self.shares.draws(step)]
        if len(parts) == 1:
            return self.collate(parts[0], key.at(step))
        if not isinstance(self.collate, StepCollate):
            raise ValueError(
                f"a step of {len(parts)} parts needs a collate with `of_step`, which {type(self.collate).__name__} "
                "lacks; set accumulate_grad_batches=1"
            )
        return self.collate.of_step(parts, key.at(step))

    def cursor(self, step: int) -> dict[str, Any]:
        """What a resumed run must be told, beside the step."""
        return self.shares.cursor(step)

    def starting_at(self, cursor: dict[str, Any]) -> PairedBatches:
        """The same batches, found at once from the cursor on."""
        return replace(self, shares=self.shares.starting_at(cursor)) if cursor else self


@dataclass(frozen=True)
class _Rows:
    """Packed rows of draws; a class, so that it travels to data workers."""

    source: PairedSamples
    collate: BudgetCollate

    def __call__(self, draws: Tensor) -> Tensor:
        return self.collate.count_rows(self.source.outline(draws))


class PairedTokens(StepData):
    """Pairs of tokens that agree in class, from the stores `train`, `val` and `test` in one folder.

    A resumed run sees exactly the batches that an uninterrupted one would have seen. With
    `trainer.accumulate_grad_batches` a step comes in parts, which do the same as the whole.

    Args:
        store: folder that holds the three stores.
        batch_size: samples a step, over all ranks and parts together; packs a step where the collate has a token
            budget, one for each rank and accumulated part.
        num_steps: training steps of the whole run; set the trainer's max_steps to the same.
        seed: decides order, pairs, transforms and the collate's randomness.
        modalities: which modalities, in packing order; a source reads its spec from its tokenizer's folder.
        collate: packs a TokenBatch; runs in the data workers.
        transforms: change a TokenBatch before it is packed, in this order.
        val_batches: steps of each validation and test, the same ones every time.
        num_workers: processes that make batches.
        anchor: modality whose items are each used once an epoch; where None, the one with the most items.
        buffer_size: samples that packs of a token budget are chosen from.
        inputs: modalities whose continuous inputs are read with the codes (the model's `input_widths`).
    """

    def __init__(
        self,
        store: Path,
        batch_size: int,
        num_steps: int,
        seed: int,
        modalities: list[Modality] | list[ModalitySource],
        collate: Collate,
        transforms: list[BatchTransform] | None = None,
        val_batches: int = 4,
        num_workers: int = 0,
        anchor: str | None = None,
        buffer_size: int = 1024,
        inputs: list[str] | None = None,
    ) -> None:
        super().__init__(batch_size, num_steps, seed, num_workers)
        if not modalities:
            raise ValueError("modalities is empty; name at least one modality of the store")
        self.store = Path(store)
        self.modalities = [m.load() if isinstance(m, ModalitySource) else m for m in modalities]
        self.collate = collate
        self.transforms = list(transforms or [])
        self.val_batches = val_batches
        self.anchor = anchor
        self.buffer_size = buffer_size
        self.inputs = tuple(inputs or ())
        foreign = set(self.inputs) - {m.name for m in self.modalities}
        if foreign:
            raise ValueError(
                f"inputs={sorted(foreign)}, expected names among {[m.name for m in self.modalities]}"
            )

    @property
    def budget(self) -> TokenBudget | None:
        """The collate's token budget, where it has one."""
        return self.collate.budget if isinstance(self.collate, BudgetCollate) else None

    def batches(self, split: str, num_parts: int = 1) -> PairedBatches:
        """Batches of a split as a function of the step.

        Args:
            split: which store.
            num_parts: parts of a rank's step; under a token budget the packs say how many.

        Raises:
            ValueError: no such store, a modality or an anchor that it lacks, or a spec that is not the model's.
        """
        store = TokenStore.open(self.store / split)
        for modality in self.modalities:
            self._check(store, modality)
        for name in self.inputs:
            store.gather_inputs(name, torch.zeros(0, dtype=torch.int64))  # a store without them says so here
        labels = {m.name: store.labels(m.name) for m in self.modalities}
        anchor = self.anchor or max(labels, key=lambda name: len(labels[name]))
        pairing = ClassPairing(labels, anchor)
        draws_at_once = self.batch_size if self.budget is None else self.buffer_size
        plan = BatchPlan(len(labels[anchor]), draws_at_once, self.seed)
        source = PairedSamples(
            store,
            self.modalities,
            pairing,
            plan,
            Key(self.seed).fold(split),
            self.transforms,
            self.inputs,
        )
        return PairedBatches(source, self._shares(source, num_parts), self.collate)

    def _shares(self, source: PairedSamples, num_parts: int) -> Shares:
        if not isinstance(self.collate, BudgetCollate) or self.collate.budget is None:
            return SampleShares(source.plan, *self.share, num_parts)
        packs = PackPlan(source.plan, _Rows(source, self.collate), self.collate.budget)
        return PackShares(packs, self.batch_size, *self.share)

    def train_dataloader(self) -> ResumableLoader:
        """The batches of a step after another, `trainer.accumulate_grad_batches` for each.

        Raises:
            ValueError: a token budget with more or fewer packs a step than ranks and accumulated batches.
        """
        num_parts = 1 if self.trainer is None else self.trainer.accumulate_grad_batches
        batches = self.batches("train", num_parts)
        if self.budget is None:
            return self.training_loader(batches, num_parts)
        world_size = self.share[1]
        if self.batch_size != world_size * num_parts and self.trainer is not None:
            raise ValueError(
                f"batch_size={self.batch_size} packs a step, but {world_size} ranks and accumulate_grad_batches="
                f"{num_parts} take {world_size * num_parts}; set one of them so that they agree"
            )
        settings = {
            "rows": self.budget.rows,
            "samples": self.budget.samples,
            "buffer_size": self.buffer_size,
        }
        return self.training_loader(batches, self._num_parts(), settings)

    def val_dataloader(self) -> StepLoader:
        """`val_batches` fixed steps."""
        return StepLoader(self.batches("val"), self.val_batches, num_parts=self._num_parts())

    def test_dataloader(self) -> StepLoader:
        """`val_batches` fixed steps."""
        return StepLoader(self.batches("test"), self.val_batches, num_parts=self._num_parts())

    def _num_parts(self) -> int:
        """Batches of a rank's step under a token budget; one where samples are counted."""
        return 1 if self.budget is None else max(self.batch_size // self.share[1], 1)

    def _check(self, store: TokenStore, modality: Modality) -> None:
        found = {m.name: m.spec for m in store.modalities}
        if modality.name not in found:
            raise ValueError(f"{store.folder} has no modality {modality.name!r}, only {', '.join(found)}")
        if found[modality.name] != modality.spec:
            raise ValueError(
                f"{store.folder} holds {modality.name} tokens of {found[modality.name]}, the config says "
                f"{modality.spec}; make the store again with this tokenizer"
            )
