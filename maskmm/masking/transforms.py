"""Batch transforms before packing: which modalities a sample keeps, and when its length is asked instead."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from tokenizers_vq.contract import Key, Modality, ModalitySource, SegmentTable, TokenBatch, TokenSpec


class DropModalities:
    """Keep a random number of each sample's modalities, so that every direction is trained.

    Keeping one trains the unconditional state, which is the absent condition that guidance contrasts with
    (condition dropout).

    Args:
        keep: keep[k - 1] is the weight of keeping k modalities; samples with fewer keep what they have.

    Raises:
        ValueError: negative weights, or none above 0.
    """

    def __init__(self, keep: Sequence[float] = (0.15, 0.65, 0.2)) -> None:
        if not keep or min(keep) < 0 or sum(keep) <= 0:
            raise ValueError(f"keep={list(keep)}, expected weights of at least 0 with a positive sum")
        self.keep = list(keep)

    def __call__(self, batch: TokenBatch, key: Key) -> TokenBatch:
        """A batch with fewer segments; samples stay, and keep at least one modality where they had any."""
        table = batch.segments
        sample_id, modality = batch.sample_id[:, None], torch.arange(len(batch.names))[None]
        is_present = torch.zeros(batch.num_samples, len(batch.names), dtype=torch.bool)
        is_present[table.sample, table.modality] = True
        bounds = torch.tensor(self.keep, dtype=torch.float64).cumsum(0) / sum(self.keep)
        num_kept = 1 + torch.searchsorted(bounds, key.fold("keep").uniform(sample_id)).clamp(
            max=len(self.keep) - 1
        )
        score = key.fold("which").uniform(sample_id, modality).masked_fill(~is_present, 2.0)
        is_kept = is_present & (score.argsort(dim=1).argsort(dim=1) < num_kept)
        return batch.keep_segments(is_kept[table.sample, table.modality])


class LengthQueries:
    """Sometimes ask how long a segment is, instead of showing it.

    The segment is replaced by one token of the modality's length label, which the masking hides: the label then
    depends on the other modalities alone, as it does when a length is sampled before decoding.

    Args:
        modalities: all modalities; those with a varying axis get queries. A source reads its spec from its
            tokenizer's folder.
        probability: share of the samples that have such a modality in which one is replaced.

    Raises:
        ValueError: a probability outside [0, 1].
    """

    def __init__(self, modalities: list[Modality] | list[ModalitySource], probability: float = 0.1) -> None:
        if not 0.0 <= probability <= 1.0:
            raise ValueError(f"probability={probability}, expected a share in [0, 1]")
        resolved = [m.load() if isinstance(m, ModalitySource) else m for m in modalities]
        self.specs = {m.name: m.spec for m in resolved if not m.spec.is_fixed}
        self.probability = probability

    def __call__(self, batch: TokenBatch, key: Key) -> TokenBatch:
        """A batch with some segments replaced by one-token labels; names gain the labels."""
        names = (*batch.names, *(f"{n}.length" for n in batch.names if n in self.specs))
        table = batch.segments
        is_varying = torch.tensor([name in self.specs for name in batch.names], dtype=torch.bool)
        modality = torch.arange(len(batch.names))[None]
        score = (
            key.fold("which").uniform(batch.sample_id[:, None], modality).masked_fill(~is_varying[None], 2.0)
        )
        score_S = score[table.sample, table.modality]
        first_B = torch.full((batch.num_samples,), 2.0, dtype=torch.float64)
        first_B = first_B.scatter_reduce(0, table.sample, score_S, "amin")
        is_asked_B = key.fold("ask").uniform(batch.sample_id) < self.probability
        is_replaced = (
            is_varying[table.modality] & is_asked_B[table.sample] & (score_S == first_B[table.sample])
        )
        return _replace(batch, names, is_replaced, self.specs)


def _replace(
    batch: TokenBatch, names: tuple[str, ...], is_replaced: Tensor, specs: dict[str, TokenSpec]
) -> TokenBatch:
    """Segments where is_replaced (S,) become a one-token length label; the others keep their codes."""
    table = batch.segments
    kept = batch.keep_segments(~is_replaced)
    start = torch.empty_like(table.start)
    start[~is_replaced] = kept.segments.start
    modality, shape = table.modality.clone(), table.shape.clone()
    codes = dict(kept.codes)
    for index, name in enumerate(batch.names):
        if name not in specs:
            continue
        mine = is_replaced & (table.modality == index)
        axis = next(a for a, size in enumerate(specs[name].grid or ()) if size is None)
        codes[f"{name}.length"] = table.shape[mine, axis][:, None] - 1
        modality[mine] = names.index(f"{name}.length")
        start[mine] = torch.arange(int(mine.sum()))
        shape[mine] = 1
    return replace(
        kept, names=names, codes=codes, segments=SegmentTable(table.sample, modality, start, shape)
    )
