"""What the model sees and what it is asked."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from maskmm.rows import AskedRows, EncodedRows
from maskmm.sequence import TokenSequence
from maskmm.vocabulary import Vocabulary
from tokenizers_vq.contract import Key, TensorRecord


@dataclass(frozen=True)
class TargetRows(TensorRecord):
    """The questions of one (modality, codebook): indices made off the training step.

    Attributes:
        name, codebook: which head slice answers.
        rows: (T,) int64 rows of the model's features.
        codes: (T,) int64 right answers, local to the codebook.
        part: (T,) int64 loss part.
        is_real: (T,) bool, False on rows that only fill up a fixed capacity.
    """

    name: str
    codebook: int
    rows: Tensor
    codes: Tensor
    part: Tensor
    is_real: Tensor


@dataclass(frozen=True)
class MaskedSequence(TensorRecord):
    """A masked training batch.

    Attributes:
        inputs: what the model sees; ids may be replaced, rows dropped or reordered. A slot of [PAD] shows nothing
            (continuous inputs without codes, residual levels not reached yet).
        mask_kind: (N, Q) int64; 0 = visible, > 0 picks a mask embedding.
        targets: (N, Q) int64 joint ids of the right answers.
        is_target: (N, Q) bool, where a loss is taken.
        part: (N, Q) int64, which loss part (0 where a masking has one part only).
        order: (N,) int64 rank for permuted attention, or None; 0 = visible, and a row may attend to rows of no
            greater order.
        group: (N,) int64 group for structured attention (block-causal step, codebook level), or None.
        is_encoded: (N,) bool, False on rows left out of the encoder and put back by a decoder, or None.
        part_names: names of the loss parts.
        target_rows: questions by (modality, codebook); filled in by `with_target_rows`.
        step_counts: (P,) int64 targets of each of `part_names(vocabulary, part_names)` in all parts of an optimizer
            step together, where this batch is one of several; None where it is the whole step.
        asked: the rows of all questions, for the last layer; None where the encoder sees all rows and nothing or
            everything is asked. Filled in by `with_target_rows`, as is `encoded`.
        encoded: the rows of `is_encoded`; None where that is.
    """

    inputs: TokenSequence
    mask_kind: Tensor
    targets: Tensor
    is_target: Tensor
    part: Tensor
    order: Tensor | None = None
    group: Tensor | None = None
    is_encoded: Tensor | None = None
    part_names: tuple[str, ...] = ("masked",)
    target_rows: tuple[TargetRows, ...] = field(default=())
    step_counts: Tensor | None = None
    asked: AskedRows | None = None
    encoded: EncodedRows | None = None

    def with_target_rows(self, capacity: int | Mapping[str, int] | None = None) -> MaskedSequence:
        """Row indices of the targets, for each (modality, codebook) that has any; of what is asked and encoded.

        Args:
            capacity: where given, every list is filled up to a multiple of it with rows that count for nothing, so
                that compiled steps see few shapes, and one shape where it is never exceeded; a mapping gives each
                modality its own.

        Raises:
            ValueError: a target that is no code of its row's modality and codebook.
        """
        vocabulary, lists = self.inputs.vocabulary, []
        for index, m in enumerate(vocabulary.modalities, start=1):
            is_mine = self.inputs.modality == index
            for codebook in range(m.spec.num_codebooks):
                rows = (is_mine & self.is_target[:, codebook]).nonzero().flatten()
                multiple = capacity[m.name] if isinstance(capacity, Mapping) else capacity
                if not rows.shape[0] and multiple is None:
                    continue
                codes = self.targets[rows, codebook] - vocabulary.slice(m.name, codebook).start
                if bool(((codes < 0) | (codes >= m.spec.codebook_size)).any()):
                    raise ValueError(
                        f"is_target asks for codebook {codebook} of {m.name!r} where targets hold no such code; "
                        "keep the ids from before hiding as targets"
                    )
                lists.append(_filled(m.name, codebook, rows, codes, self.part[rows, codebook], multiple))
        encoded = None if self.is_encoded is None else EncodedRows.of(self.inputs, self.is_encoded)
        asked = self._asked(None if capacity is None else sum(t.rows.shape[0] for t in lists))
        return replace(self, target_rows=tuple(lists), asked=asked, encoded=encoded)

    def _asked(self, count: int | None) -> AskedRows | None:
        is_asked = self.is_target.any(dim=1)
        if count is not None:
            return AskedRows.of(self.inputs, is_asked, min(count, self.inputs.num_rows))
        if self.is_encoded is None and (not bool(is_asked.any()) or bool(is_asked.all())):
            return None
        return AskedRows.of(self.inputs, is_asked)

    def count_targets(self) -> Tensor:
        """(P,) int64 targets of each of `part_names(vocabulary, part_names)`."""
        num_parts, vocabulary = len(self.part_names), self.inputs.vocabulary
        counts = {
            (t.name, t.codebook): torch.bincount(t.part[t.is_real], minlength=num_parts)
            for t in self.target_rows
        }
        nothing = torch.zeros(num_parts, dtype=torch.int64)
        lists = [
            counts.get((m.name, codebook), nothing)
            for m in vocabulary.modalities
            for codebook in range(m.spec.num_codebooks)
        ]
        return torch.cat(lists)


def _filled(
    name: str, codebook: int, rows: Tensor, codes: Tensor, part: Tensor, capacity: int | None
) -> TargetRows:
    missing = 0 if capacity is None else -rows.shape[0] % capacity or (capacity if not rows.shape[0] else 0)
    is_real = torch.ones(rows.shape[0] + missing, dtype=torch.bool)
    if missing:
        is_real[-missing:] = False
        rows, codes, part = (torch.cat([t, t.new_zeros(missing)]) for t in (rows, codes, part))
    return TargetRows(name, codebook, rows, codes, part, is_real)


def part_names(vocabulary: Vocabulary, names: tuple[str, ...]) -> list[str]:
    """Every "modality/codebook/part", in an order that all ranks share."""
    return [
        f"{m.name}/{codebook}/{name}"
        for m in vocabulary.modalities
        for codebook in range(m.spec.num_codebooks)
        for name in names
    ]


class Masking(ABC):
    """Chooses what is hidden and what is asked; a pure function of the sequence and the key."""

    @abstractmethod
    def __call__(self, sequence: TokenSequence, key: Key) -> MaskedSequence: ...


def masked_at(sequence: TokenSequence, is_masked: Tensor, is_target: Tensor | None = None) -> MaskedSequence:
    """The plain case: hide is_masked (N, Q) behind [MASK] and ask for it (or for is_target)."""
    kind = is_masked.long()
    return MaskedSequence(
        inputs=sequence.hide(kind),
        mask_kind=kind,
        targets=sequence.ids,
        is_target=is_masked if is_target is None else is_target,
        part=torch.zeros_like(kind),
    )
