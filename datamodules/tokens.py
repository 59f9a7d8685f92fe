"""Batches of paired tokens from a store, for training the shared model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from datamodules.pairing import ClassPairing
from datamodules.plan import BatchPlan
from datamodules.steps import ResumableLoader, StepData, StepLoader
from datamodules.store import TokenStore
from tokenizers_vq.contract import (
    BatchTransform,
    Collate,
    Key,
    Modality,
    ModalitySource,
    SegmentTable,
    TokenBatch,
)


def token_batch(
    store: TokenStore, modalities: Sequence[Modality], items: dict[str, Tensor], sample_id: Tensor
) -> TokenBatch:
    """One segment of each modality for each sample, without a loop over samples.

    Args:
        store: where the codes are.
        modalities: in the order that segments take within a sample.
        items: modality name -> (B,) int64 item numbers.
        sample_id: (B,) int64.
    """
    num_axes = max((len(m.spec.axes) for m in modalities), default=0)
    codes, starts, shapes = {}, [], []
    for modality in modalities:
        codes[modality.name], shape = store.gather(modality.name, items[modality.name])
        length = shape.prod(dim=1)
        starts.append(length.cumsum(0) - length)
        shapes.append(torch.nn.functional.pad(shape, (0, num_axes - shape.shape[1]), value=1))
    num_samples = len(sample_id)
    table = SegmentTable(
        sample=torch.arange(num_samples).repeat_interleave(len(modalities)),
        modality=torch.arange(len(modalities)).repeat(num_samples),
        start=torch.stack(starts, dim=1).flatten(),
        shape=torch.stack(shapes, dim=1).flatten(0, 1),
    )
    return TokenBatch(tuple(m.name for m in modalities), codes, table, sample_id)


@dataclass(frozen=True)
class PairedBatches:
    """The packed batch of a step: each item of the anchor once an epoch, the others drawn from its class.

    Attributes:
        store: where the codes are.
        modalities: names and specs, in packing order.
        pairing: finds the others' items.
        anchor: the modality that the plan goes through.
        plan: which anchor items at which step.
        key: of the pairing, the transforms and the collate.
        transforms: applied in order before the collate.
        collate: packs.
        rank: this process.
        world_size: of so many.
    """

    store: TokenStore
    modalities: list[Modality]
    pairing: ClassPairing
    anchor: str
    plan: BatchPlan
    key: Key
    transforms: list[BatchTransform]
    collate: Collate
    rank: int = 0
    world_size: int = 1

    def tokens(self, step: int) -> TokenBatch:
        """The batch of a step before transforms and packing."""
        share = (step, self.rank, self.world_size)
        sample_id = self.plan.draws(*share)
        # The step is in the sample id already; without it here, a pair does not depend on the batch size.
        items = self.pairing.match(self.plan.samples(*share), self.key.fold("pair"), sample_id)
        return token_batch(self.store, self.modalities, items, sample_id)

    def __call__(self, step: int) -> Any:
        """The batch of a step, packed."""
        batch, key = self.tokens(step), self.key.at(step)
        for index, transform in enumerate(self.transforms):
            batch = transform(batch, key.fold(f"transform {index}"))
        return self.collate(batch, key)


class PairedTokens(StepData):
    """Pairs of tokens that agree in class, from the stores `train`, `val` and `test` in one folder.

    A resumed run sees exactly the batches that an uninterrupted one would have seen.

    Args:
        store: folder that holds the three stores.
        batch_size: samples a step, over all ranks together.
        num_steps: training steps of the whole run; set the trainer's max_steps to the same.
        seed: decides order, pairs, transforms and the collate's randomness.
        modalities: which modalities, in packing order; a source reads its spec from its tokenizer's folder.
        collate: packs a TokenBatch; runs in the data workers.
        transforms: change a TokenBatch before it is packed, in this order.
        val_batches: batches of each validation and test, the same ones every time.
        num_workers: processes that make batches.
        anchor: modality whose items are each used once an epoch; where None, the one with the most items.
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

    def batches(self, split: str) -> PairedBatches:
        """Batches of a split as a function of the step.

        Raises:
            ValueError: no such store, a modality that it lacks, or a spec that is not the model's.
        """
        store = TokenStore.open(self.store / split)
        for modality in self.modalities:
            self._check(store, modality)
        labels = {m.name: store.labels(m.name) for m in self.modalities}
        anchor = self.anchor or max(labels, key=lambda name: len(labels[name]))
        pairing = ClassPairing(labels, anchor)
        plan = BatchPlan(len(labels[anchor]), self.batch_size, self.seed)
        return PairedBatches(
            store,
            self.modalities,
            pairing,
            anchor,
            plan,
            Key(self.seed).fold(split),
            self.transforms,
            self.collate,
            *self.share,
        )

    def train_dataloader(self) -> ResumableLoader:
        """One batch a step."""
        return self.training_loader(self.batches("train"))

    def val_dataloader(self) -> StepLoader:
        """`val_batches` fixed batches."""
        return StepLoader(self.batches("val"), self.val_batches)

    def test_dataloader(self) -> StepLoader:
        """`val_batches` fixed batches."""
        return StepLoader(self.batches("test"), self.val_batches)

    def _check(self, store: TokenStore, modality: Modality) -> None:
        found = {m.name: m.spec for m in store.modalities}
        if modality.name not in found:
            raise ValueError(f"{store.folder} has no modality {modality.name!r}, only {', '.join(found)}")
        if found[modality.name] != modality.spec:
            raise ValueError(
                f"{store.folder} holds {modality.name} tokens of {found[modality.name]}, the config says "
                f"{modality.spec}; make the store again with this tokenizer"
            )
