"""Samples of several modalities from a token store: the anchor's items, and others of the same class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from datamodules.pairing import ClassPairing
from datamodules.plan import BatchPlan
from datamodules.store import TokenStore
from tokenizers_vq.contract import BatchTransform, Key, Modality, SegmentTable, TokenBatch


def token_batch(
    store: TokenStore,
    modalities: Sequence[Modality],
    items: Mapping[str, Tensor],
    sample_id: Tensor,
    inputs: Sequence[str] = (),
) -> TokenBatch:
    """One segment of each modality for each sample, without a loop over samples.

    Args:
        store: where the codes are.
        modalities: in the order that segments take within a sample.
        items: modality name -> (B,) int64 item numbers.
        sample_id: (B,) int64.
        inputs: modalities whose continuous inputs come along.
    """
    codes, shapes = {}, []
    for modality in modalities:
        codes[modality.name], shape = store.gather(modality.name, items[modality.name])
        shapes.append(shape)
    batch = _joined(modalities, codes, shapes, sample_id)
    return replace(batch, inputs={name: store.gather_inputs(name, items[name]) for name in inputs})


def outline_batch(
    store: TokenStore, modalities: Sequence[Modality], items: Mapping[str, Tensor], sample_id: Tensor
) -> TokenBatch:
    """The batch of `token_batch` with 0 for every code: its lengths, without reading what is long."""
    codes, shapes = {}, []
    for modality in modalities:
        shape = store.shapes(modality.name, items[modality.name])
        zero = torch.zeros(1, modality.spec.num_codebooks, dtype=torch.int64)
        codes[modality.name] = zero.expand(int(shape.prod(dim=1).sum()), -1)
        shapes.append(shape)
    return _joined(modalities, codes, shapes, sample_id)


def _joined(
    modalities: Sequence[Modality], codes: dict[str, Tensor], shapes: list[Tensor], sample_id: Tensor
) -> TokenBatch:
    num_axes = max((len(m.spec.axes) for m in modalities), default=0)
    starts = []
    for shape in shapes:
        length = shape.prod(dim=1)
        starts.append(length.cumsum(0) - length)
    table = SegmentTable(
        sample=torch.arange(len(sample_id)).repeat_interleave(len(modalities)),
        modality=torch.arange(len(modalities)).repeat(len(sample_id)),
        start=torch.stack(starts, dim=1).flatten(),
        shape=torch.stack([F.pad(s, (0, num_axes - s.shape[1]), value=1) for s in shapes], dim=1).flatten(
            0, 1
        ),
    )
    return TokenBatch(tuple(m.name for m in modalities), codes, table, sample_id)


@dataclass(frozen=True)
class PairedSamples:
    """Samples by their running number in the plan: each item of the anchor once an epoch, others from its class.

    Attributes:
        store: where the codes are.
        modalities: names and specs, in packing order.
        pairing: finds the others' items.
        plan: which anchor item each draw is.
        key: of the pairing and the transforms.
        transforms: applied in order.
        inputs: modalities whose continuous inputs come along.
    """

    store: TokenStore
    modalities: list[Modality]
    pairing: ClassPairing
    plan: BatchPlan
    key: Key
    transforms: list[BatchTransform]
    inputs: tuple[str, ...] = ()

    def items(self, draws: Tensor) -> dict[str, Tensor]:
        """Modality -> (b,) int64 item numbers of draws (b,)."""
        # The draw is the sample id and unique; without the step, a pair does not depend on the batch size.
        return self.pairing.match(self.plan.of_draws(draws), self.key.fold("pair"), draws)

    def tokens(self, draws: Tensor) -> TokenBatch:
        """The samples as they are stored."""
        return token_batch(self.store, self.modalities, self.items(draws), draws, self.inputs)

    def transformed(self, draws: Tensor, key: Key) -> TokenBatch:
        """The samples as they are packed."""
        return self._transform(self.tokens(draws), key)

    def outline(self, draws: Tensor) -> TokenBatch:
        """The samples as they are packed, without their codes; the transforms' key has no step."""
        return self._transform(outline_batch(self.store, self.modalities, self.items(draws), draws), self.key)

    def _transform(self, batch: TokenBatch, key: Key) -> TokenBatch:
        for index, transform in enumerate(self.transforms):
            batch = transform(batch, key.fold(f"transform {index}"))
        return batch
