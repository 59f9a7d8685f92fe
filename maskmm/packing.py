"""The collate of training: pack, mask, and index the targets, all in the data workers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from maskmm.filling import fill
from maskmm.masking.base import MaskedSequence, Masking
from maskmm.sequence import count_rows, pack, take_samples
from maskmm.vocabulary import Vocabulary, with_length_modalities
from tokenizers_vq.contract import Key, Modality, ModalitySource, TokenBatch, TokenBudget


def build_vocabulary(
    modalities: Sequence[Modality | ModalitySource], num_mask_kinds: int = 1, has_cls: bool = True
) -> Vocabulary:
    """Vocabulary of the modalities and of a length label for each whose length varies.

    Model and Packer call this on the same list, so that their ids agree. The first source whose tokenizer has special
    codes ([CLS], [SEP], [MASK] of an imported vocabulary) lends them to all modalities.
    """
    resolved = [m.load() if isinstance(m, ModalitySource) else m for m in modalities]
    lenders = ((m.name, m.specials()) for m in modalities if isinstance(m, ModalitySource))
    name, specials = next(((n, s) for n, s in lenders if s), ("", {}))
    aliases = {special: (name, code) for special, code in specials.items()}
    return Vocabulary(with_length_modalities(resolved), num_mask_kinds, aliases, has_cls)


class Packer:
    """TokenBatch -> MaskedSequence, with the special rows of the vocabulary, as the pipeline packs too.

    Args:
        modalities: the model's modalities; a source reads its spec from its tokenizer's folder.
        masking: what is hidden and what is asked.
        num_mask_kinds: size of the vocabulary's family of mask ids.
        sorts_by_length: order samples by length, which lets CPU attention batch equal lengths.
        target_capacity: fill lists of target rows up to multiples of this, for compiled steps; a mapping gives each
            modality its own. Under a budget an eighth of its rows where not given.
        budget: fill every batch up to this shape; the datamodule then batches packs that fit, not numbers of samples.
        has_cls: each sample opens with a [CLS] row; the same as the module's.

    Raises:
        ValueError: target capacities below 1, or not of the vocabulary's modalities.
    """

    def __init__(
        self,
        modalities: list[Modality] | list[ModalitySource],
        masking: Masking,
        num_mask_kinds: int = 1,
        sorts_by_length: bool = True,
        target_capacity: int | dict[str, int] | None = None,
        budget: TokenBudget | None = None,
        has_cls: bool = True,
    ) -> None:
        self.vocabulary = build_vocabulary(modalities, num_mask_kinds, has_cls)
        self.masking = masking
        self.sorts_by_length = sorts_by_length
        self.budget = budget
        self.target_capacity = self._resolve(target_capacity)

    def _resolve(self, capacity: int | dict[str, int] | None) -> int | dict[str, int] | None:
        if capacity is None and self.budget is not None:
            return -(-self.budget.rows // 8)
        values = capacity if isinstance(capacity, dict) else {} if capacity is None else {"": capacity}
        names = set(self.vocabulary.names)
        if any(value < 1 for value in values.values()) or (
            isinstance(capacity, dict) and names != set(values)
        ):
            raise ValueError(
                f"target_capacity={capacity}, expected a number of at least 1, or one for each of {sorted(names)}"
            )
        return capacity

    def __call__(self, batch: TokenBatch, key: Key) -> MaskedSequence:
        """Pack and mask one batch; the same for a key at any number of workers."""
        sequence = pack(batch, self.vocabulary)
        if self.sorts_by_length:
            lengths = sequence.cu_seqlens[1:] - sequence.cu_seqlens[:-1]
            sequence = take_samples(sequence, torch.argsort(lengths, descending=True, stable=True))
        masked = self.masking(sequence, key.fold("mask"))
        if self.budget is not None:
            masked = fill(masked, self.budget)
        return masked.with_target_rows(self.target_capacity)

    def of_step(self, batches: Sequence[TokenBatch], key: Key) -> list[MaskedSequence]:
        """The parts of one optimizer step, each with the target counts of all."""
        masked = [self(batch, key) for batch in batches]
        step_counts = torch.stack([part.count_targets() for part in masked]).sum(dim=0)
        return [replace(part, step_counts=step_counts) for part in masked]

    def count_rows(self, batch: TokenBatch) -> Tensor:
        """(B,) int64 packed rows of each sample; reads no codes."""
        return count_rows(batch, self.vocabulary, self.vocabulary.has_cls)
