"""The collate of training: pack, mask, and index the targets, all in the data workers."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from maskmm.masking.base import MaskedSequence, Masking
from maskmm.sequence import pack, take_samples
from maskmm.vocabulary import Vocabulary, with_length_modalities
from tokenizers_vq.contract import Key, Modality, ModalitySource, TokenBatch


def build_vocabulary(modalities: Sequence[Modality | ModalitySource], num_mask_kinds: int = 1) -> Vocabulary:
    """Vocabulary of the modalities and of a length label for each whose length varies.

    Model and Packer call this on the same list, so that their ids agree.
    """
    resolved = [m.load() if isinstance(m, ModalitySource) else m for m in modalities]
    return Vocabulary(with_length_modalities(resolved), num_mask_kinds)


class Packer:
    """TokenBatch -> MaskedSequence, with one [CLS] row a sample, as the pipeline packs too.

    Args:
        modalities: the model's modalities; a source reads its spec from its tokenizer's folder.
        masking: what is hidden and what is asked.
        num_mask_kinds: size of the vocabulary's family of mask ids.
        sorts_by_length: order samples by length, which lets CPU attention batch equal lengths.
        target_capacity: fill lists of target rows up to multiples of this, for compiled steps.
    """

    def __init__(
        self,
        modalities: list[Modality] | list[ModalitySource],
        masking: Masking,
        num_mask_kinds: int = 1,
        sorts_by_length: bool = True,
        target_capacity: int | None = None,
    ) -> None:
        self.vocabulary = build_vocabulary(modalities, num_mask_kinds)
        self.masking = masking
        self.sorts_by_length = sorts_by_length
        self.target_capacity = target_capacity

    def __call__(self, batch: TokenBatch, key: Key) -> MaskedSequence:
        """Pack and mask one batch; the same for a key at any number of workers."""
        sequence = pack(batch, self.vocabulary)
        if self.sorts_by_length:
            lengths = sequence.cu_seqlens[1:] - sequence.cu_seqlens[:-1]
            sequence = take_samples(sequence, torch.argsort(lengths, descending=True, stable=True))
        return self.masking(sequence, key.fold("mask")).with_target_rows(self.target_capacity)
