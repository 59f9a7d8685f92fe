"""A token batch with unknown slots: what generation starts from and what it fills, target by target."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from maskmm.sequence import TokenSequence, pack
from maskmm.vocabulary import Vocabulary
from tokenizers_vq.contract import Modality, SegmentTable, TokenBatch


@dataclass(frozen=True)
class Draft:
    """A batch, some of whose codes are still to be found.

    Attributes:
        batch: flat codes; what unknown slots hold does not matter.
        is_unknown: name -> (n, Q) bool along `batch.codes[name]`; a name left out is wholly known.
        has_cls: put a [CLS] row before each sample, as in training; as the vocabulary says where None.
    """

    batch: TokenBatch
    is_unknown: Mapping[str, Tensor] = field(default_factory=dict)
    has_cls: bool | None = None

    def __post_init__(self) -> None:
        for name, flags in self.is_unknown.items():
            if name not in self.batch.codes:
                raise ValueError(f"is_unknown names {name!r}, expected one of {list(self.batch.codes)}")
            expected = self.batch.codes[name].shape
            if flags.shape != expected or flags.dtype != torch.bool:
                raise ValueError(
                    f"is_unknown[{name!r}] is {flags.dtype} of shape {tuple(flags.shape)}, expected bool of shape "
                    f"{tuple(expected)} like the codes"
                )

    def lacks_unknown(self, name: str) -> Tensor:
        """(B,) bool, True for samples without an unknown slot of that modality."""
        batch = self.batch
        lacks = torch.ones(batch.num_samples, dtype=torch.bool)
        if name in self.is_unknown:
            row_of_table, source = _rows(batch, name)
            is_open = self.is_unknown[name].any(dim=1)[source]
            lacks[batch.segments.sample[row_of_table[is_open]]] = False
        return lacks

    def with_segments(self, modality: Modality, is_wanted: Tensor, lengths: Tensor) -> Draft:
        """One more, wholly unknown segment at the end of every wanted sample.

        Args:
            modality: of the new segments.
            is_wanted: (B,) bool.
            lengths: (B,) int64, tokens along the varying axis (not looked at where the grid is fixed).

        Raises:
            ValueError: a length out of range, or a modality whose batch carries more than codes.
        """
        batch, name, spec = self.batch, modality.name, modality.spec
        sample = is_wanted.nonzero().flatten()
        for extra in ("inputs", "condition_codes", "group"):
            if name in getattr(batch, extra) and len(sample):
                raise ValueError(
                    f"the batch has {extra} for {name!r}; expected a new segment to have codes alone"
                )
        names = batch.names if name in batch.names else (*batch.names, name)
        old_codes = batch.codes.get(name, torch.zeros(0, spec.num_codebooks, dtype=torch.int64))
        old_flags = self.is_unknown.get(name, torch.zeros_like(old_codes, dtype=torch.bool))
        shape = torch.tensor([spec.shape(length) for length in lengths[sample].tolist()], dtype=torch.int64)
        shape = shape.reshape(len(sample), len(spec.axes))
        length = shape.prod(dim=1)
        table, num_axes = batch.segments, max(batch.segments.shape.shape[1], len(spec.axes))
        columns = (
            torch.cat([table.sample, sample]),
            torch.cat([table.modality, torch.full_like(sample, names.index(name))]),
            torch.cat([table.start, old_codes.shape[0] + length.cumsum(0) - length]),
            torch.cat([_widened(table.shape, num_axes), _widened(shape, num_axes)]),
        )
        order = torch.argsort(columns[0], stable=True)
        new = old_codes.new_zeros(int(length.sum()), spec.num_codebooks)
        codes = {**batch.codes, name: torch.cat([old_codes, new])}
        flags = {**self.is_unknown, name: torch.cat([old_flags, torch.ones_like(new, dtype=torch.bool)])}
        segments = SegmentTable(*(column[order] for column in columns))
        return replace(
            self, batch=replace(batch, names=names, codes=codes, segments=segments), is_unknown=flags
        )

    def sequence(self, vocabulary: Vocabulary, target: str) -> tuple[TokenSequence, Tensor]:
        """Packed rows with every unknown slot as [MASK], and (N, Q) bool: the unknown slots of the target.

        Raises:
            ValueError: a modality that the vocabulary lacks.
        """
        sequence = pack(self.batch, vocabulary, self.has_cls)
        is_hidden = torch.zeros_like(sequence.ids, dtype=torch.bool)
        is_asked = is_hidden.clone()
        for name, flags in self.is_unknown.items():
            rows = (sequence.modality == vocabulary.index(name)).nonzero().flatten()
            _, source = _rows(self.batch, name)
            is_hidden[rows, : flags.shape[1]] = flags[source]
            if name == target:
                is_asked[rows, : flags.shape[1]] = flags[source]
        return sequence.hide(is_hidden.long()), is_asked

    def filled(self, target: str, sequence: TokenSequence) -> Draft:
        """The draft with the target's codes taken from a decoded sequence; nothing of it is unknown any more."""
        rows = sequence.modality == sequence.vocabulary.index(target)
        _, source = _rows(self.batch, target)
        codes = self.batch.codes[target].clone()
        codes[source] = sequence.vocabulary.to_codes(target, sequence.ids[rows]).cpu()
        batch = replace(self.batch, codes={**self.batch.codes, target: codes})
        return replace(
            self, batch=batch, is_unknown={n: f for n, f in self.is_unknown.items() if n != target}
        )


def _rows(batch: TokenBatch, name: str) -> tuple[Tensor, Tensor]:
    """For each token of a modality in packing order: its row in the table, and its row in the flat codes."""
    table = batch.segments
    mine = (table.modality == batch.names.index(name)).nonzero().flatten()
    length = table.length[mine]
    row_of_table = torch.repeat_interleave(mine, length)
    rank = torch.arange(row_of_table.shape[0]) - torch.repeat_interleave(length.cumsum(0) - length, length)
    return row_of_table, table.start[row_of_table] + rank


def _widened(shape: Tensor, num_axes: int) -> Tensor:
    return F.pad(shape, (0, num_axes - shape.shape[1]), value=1)
