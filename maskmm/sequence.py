"""All samples of a batch end to end in one packed row sequence, and back.

Shape legend of the package: B samples, N packed rows, S segments, Q codebooks, A position axes, D width, H heads,
K head width, V codes of one codebook.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from maskmm.vocabulary import Vocabulary
from tokenizers_vq.contract import SegmentTable, TensorRecord, TokenBatch


@dataclass(frozen=True)
class TokenSequence(TensorRecord):
    """Packed rows; sample b owns rows cu_seqlens[b] : cu_seqlens[b + 1].

    Attributes:
        vocabulary: says what the ids mean.
        ids: (N, Q) int64 joint ids; unused slots [PAD].
        modality: (N,) int64, vocabulary index of the modality; 0 for special rows ([CLS]).
        position: (N, A) int64 along the vocabulary's axes; 0 on axes that the modality lacks.
        segment: (N,) int64, row of `segments`; -1 for special rows.
        sample: (N,) int64, which of the B samples.
        cu_seqlens: (B + 1,) int64.
        segments: table of segments (modality indexes `vocabulary.names`).
        sample_id: (B,) int64, for hashed randomness.
        inputs: name -> (n, C) continuous inputs of that modality's rows, in row order.
        condition_ids: (N, Q) int64 joint ids of a degraded condition, or None.
        group: (N,) int64, rows to be masked together, numbered within their segment; -1 = alone; or None.
    """

    vocabulary: Vocabulary
    ids: Tensor
    modality: Tensor
    position: Tensor
    segment: Tensor
    sample: Tensor
    cu_seqlens: Tensor
    segments: SegmentTable
    sample_id: Tensor
    inputs: dict[str, Tensor] = field(default_factory=dict)
    condition_ids: Tensor | None = None
    group: Tensor | None = None

    @property
    def num_rows(self) -> int:
        """N."""
        return self.ids.shape[0]

    @property
    def num_samples(self) -> int:
        """B."""
        return self.sample_id.shape[0]

    def has_codebook(self) -> Tensor:
        """(N, Q) bool: True where the row's modality has that codebook (never on special rows)."""
        return self.vocabulary.codebook_sizes().to(self.modality.device)[self.modality] > 0

    def row_in_sample(self) -> Tensor:
        """(N,) int64, 0-based rank of a row in its sample."""
        return torch.arange(self.num_rows, device=self.ids.device) - self.cu_seqlens[self.sample]

    def row_in_segment(self) -> Tensor:
        """(N,) int64, 0-based rank of a row in its segment; 0 on special rows."""
        start = self.ids.new_full((len(self.segments) + 1,), self.num_rows)
        index = torch.arange(self.num_rows, device=self.ids.device)
        start = start.scatter_reduce(0, self.segment % (len(self.segments) + 1), index, "amin")
        return torch.where(self.segment >= 0, index - start[self.segment], 0)

    def hide(self, mask_kind: Tensor) -> TokenSequence:
        """Ids replaced by mask ids where mask_kind (N, Q) > 0."""
        mask_ids = self.vocabulary.mask_ids().to(self.ids.device)
        return replace(self, ids=torch.where(mask_kind > 0, mask_ids[mask_kind], self.ids))

    def select_rows(self, rows: Tensor) -> TokenSequence:
        """A sequence of the given rows (indices or a bool mask); samples may become empty.

        Rows may change places within a sample, but samples stay in order. The table of segments stays as it is, so
        that `segment` still names its row.
        """
        index = rows.nonzero().flatten() if rows.dtype == torch.bool else rows
        sample = self.sample[index]
        counts = torch.bincount(sample, minlength=self.num_samples)
        return replace(
            self,
            ids=self.ids[index],
            modality=self.modality[index],
            position=self.position[index],
            segment=self.segment[index],
            sample=sample,
            cu_seqlens=_offsets(counts),
            inputs={name: self._select_inputs(name, value, index) for name, value in self.inputs.items()},
            condition_ids=None if self.condition_ids is None else self.condition_ids[index],
            group=None if self.group is None else self.group[index],
        )

    def _select_inputs(self, name: str, value: Tensor, index: Tensor) -> Tensor:
        is_mine = self.modality == self.vocabulary.index(name)
        rank = is_mine.cumsum(0) - 1
        return value[rank[index[is_mine[index]]]]


def take_samples(sequence: TokenSequence, index: Tensor) -> TokenSequence:
    """The samples `index` (B',) int64 in that order, with their segments; a sample may be taken twice.

    Samples sorted by length let backends without a varlen kernel attend to equal lengths in one call.
    """
    counts = (sequence.cu_seqlens[1:] - sequence.cu_seqlens[:-1])[index]
    rows = _ranges(sequence.cu_seqlens[:-1][index], counts)
    sample = torch.repeat_interleave(torch.arange(index.shape[0], device=rows.device), counts)
    table = sequence.segments
    num_segments = torch.bincount(table.sample, minlength=sequence.num_samples)
    first_old, num_new = (num_segments.cumsum(0) - num_segments)[index], num_segments[index]
    first_new = num_new.cumsum(0) - num_new
    picked = _ranges(first_old, num_new)
    old_segment = sequence.segment[rows]
    return replace(
        sequence,
        ids=sequence.ids[rows],
        modality=sequence.modality[rows],
        position=sequence.position[rows],
        segment=torch.where(old_segment >= 0, old_segment + (first_new - first_old)[sample], old_segment),
        sample=sample,
        cu_seqlens=_offsets(counts),
        segments=SegmentTable(
            torch.repeat_interleave(torch.arange(index.shape[0], device=rows.device), num_new),
            table.modality[picked],
            table.start[picked],
            table.shape[picked],
        ),
        sample_id=sequence.sample_id[index],
        inputs={name: sequence._select_inputs(name, value, rows) for name, value in sequence.inputs.items()},
        condition_ids=None if sequence.condition_ids is None else sequence.condition_ids[rows],
        group=None if sequence.group is None else sequence.group[rows],
    )


def _ranges(start: Tensor, count: Tensor) -> Tensor:
    """start[0] .. start[0] + count[0] - 1, then the same for the next, end to end."""
    first = count.cumsum(0) - count
    return torch.repeat_interleave(start - first, count) + torch.arange(int(count.sum()), device=start.device)


def _offsets(counts: Tensor) -> Tensor:
    return torch.cat([counts.new_zeros(1), counts.cumsum(0)])


def pack(batch: TokenBatch, vocabulary: Vocabulary, has_cls: bool | None = None) -> TokenSequence:
    """Lay all samples end to end, segments in table order, with no padding.

    A segment of the modality that lends its [SEP] (`Vocabulary.aliases`) is followed by a [SEP] row.

    Args:
        batch: flat tokens; its names must be in the vocabulary.
        vocabulary: joint ids.
        has_cls: put one [CLS] row before each sample; as the vocabulary says where not given.

    Raises:
        ValueError: a modality that the vocabulary lacks, one without codes whose continuous inputs are not given, or
            segments that are not sorted by sample.
    """
    _check_shown(batch, vocabulary)
    table = batch.segments
    if bool((table.sample[1:] < table.sample[:-1]).any()):
        raise ValueError("segments must be sorted by sample; build the batch with TokenBatch.from_samples")
    index_of_name = torch.tensor([vocabulary.index(name) for name in batch.names], dtype=torch.int64)
    has_cls = vocabulary.has_cls if has_cls is None else has_cls
    length, is_closed = table.length, _is_closed(table, vocabulary, batch.names)
    counts = count_rows(batch, vocabulary, has_cls)
    num_rows = int(counts.sum())
    cu_seqlens = _offsets(counts)
    sample = torch.repeat_interleave(torch.arange(batch.num_samples), counts)

    # Row of each segment's first token: earlier tokens in table order with their [SEP] rows, plus the [CLS] rows up
    # to this sample.
    sizes = length + is_closed
    first_row = sizes.cumsum(0) - sizes + (table.sample + 1) * int(has_cls)
    segment_of_token = torch.repeat_interleave(torch.arange(len(table)), length)
    rank = torch.arange(segment_of_token.shape[0]) - (length.cumsum(0) - length)[segment_of_token]
    rows = first_row[segment_of_token] + rank

    segment = torch.full((num_rows,), -1, dtype=torch.int64)
    segment[rows] = segment_of_token
    modality = torch.zeros(num_rows, dtype=torch.int64)
    modality[rows] = index_of_name[table.modality][segment_of_token]
    position = torch.zeros(num_rows, len(vocabulary.axes), dtype=torch.int64)
    position[rows] = _positions(table, vocabulary, index_of_name, segment_of_token, rank)

    ids = torch.full((num_rows, vocabulary.num_codebooks), vocabulary.pad_id, dtype=torch.int64)
    if has_cls:
        ids[cu_seqlens[:-1], 0] = vocabulary.cls_id
    ids[(first_row + length)[is_closed], 0] = vocabulary.sep_id
    condition_ids = ids.clone() if batch.condition_codes else None
    group = torch.full((num_rows,), -1, dtype=torch.int64) if batch.group else None
    inputs = {}
    source = table.start[segment_of_token] + rank
    for number, name in enumerate(batch.names):
        mine = table.modality[segment_of_token] == number
        if name in batch.codes:
            ids[rows[mine]] = vocabulary.to_ids(name, batch.codes[name][source[mine]])
        if condition_ids is not None and name in batch.condition_codes:
            condition_ids[rows[mine]] = vocabulary.to_ids(name, batch.condition_codes[name][source[mine]])
        if group is not None and name in batch.group:
            group[rows[mine]] = batch.group[name][source[mine]]
        if name in batch.inputs:
            inputs[name] = batch.inputs[name][source[mine]]
    segments = SegmentTable(table.sample, index_of_name[table.modality] - 1, table.start, table.shape)
    return TokenSequence(
        vocabulary, ids, modality, position, segment, sample, cu_seqlens, segments, batch.sample_id, inputs,
        condition_ids, group,
    )  # fmt: skip


def _check_shown(batch: TokenBatch, vocabulary: Vocabulary) -> None:
    """Raise ValueError for rows that would show nothing, as those of a datamodule that was not asked for inputs."""
    for number, name in enumerate(batch.names):
        if vocabulary.spec(name).has_codes or name in batch.inputs:
            continue
        if bool((batch.segments.modality == number).any()):
            raise ValueError(
                f"modality {name!r} has no codes, and the batch no continuous inputs of it: nothing would be shown; "
                "give its inputs (`inputs` of TokenBatch.from_samples or of the datamodule)"
            )


def count_rows(batch: TokenBatch, vocabulary: Vocabulary, has_cls: bool) -> Tensor:
    """(B,) int64 rows that `pack` gives each sample; reads no codes."""
    rows = batch.segments.length + _is_closed(batch.segments, vocabulary, batch.names)
    return torch.full((batch.num_samples,), int(has_cls)).index_add_(0, batch.segments.sample, rows)


def _is_closed(table: SegmentTable, vocabulary: Vocabulary, names: tuple[str, ...]) -> Tensor:
    """(S,) bool: segments that a [SEP] row follows."""
    if vocabulary.closed_modality not in names:
        return torch.zeros(len(table), dtype=torch.bool)
    return table.modality == names.index(vocabulary.closed_modality)


def _positions(
    table: SegmentTable, vocabulary: Vocabulary, index_of_name: Tensor, segment: Tensor, rank: Tensor
) -> Tensor:
    """Grid coordinates (n, A) of each token, written to the vocabulary's axes."""
    num_axes = table.shape.shape[1]
    coordinate = torch.zeros(segment.shape[0], num_axes, dtype=torch.int64)
    rest = rank
    for axis in reversed(range(num_axes)):
        size = table.shape[:, axis][segment]
        coordinate[:, axis] = rest % size
        rest = rest // size
    position = torch.zeros(segment.shape[0], len(vocabulary.axes), dtype=torch.int64)
    modality = index_of_name[table.modality][segment]
    for index, m in enumerate(vocabulary.modalities, start=1):
        mine = modality == index
        for axis, name in enumerate(m.spec.axes):
            position[mine, vocabulary.axes.index(name)] = coordinate[mine, axis]
    return position


def unpack(sequence: TokenSequence) -> TokenBatch:
    """Exact inverse of `pack` (names become the vocabulary's, in its order).

    Raises:
        ValueError: rows were dropped, or an id is no code of its modality.
    """
    vocabulary, table = sequence.vocabulary, sequence.segments
    is_token = sequence.segment >= 0
    if bool((sequence.segment[is_token].diff() < 0).any()):
        raise ValueError("rows are not in segment order; unpack the sequence as it was packed")
    if int(is_token.sum()) != int(table.length.sum()):
        raise ValueError(
            f"{int(is_token.sum())} rows for segments of {int(table.length.sum())} tokens; unpack whole sequences"
        )
    codes: dict[str, Tensor] = {}
    condition: dict[str, Tensor] = {}
    group: dict[str, Tensor] = {}
    start = torch.zeros_like(table.start)
    for index, name in enumerate(vocabulary.names):
        rows = sequence.modality == index + 1
        if not _has_inputs_alone(sequence, name, sequence.ids[rows]):
            codes[name] = vocabulary.to_codes(name, sequence.ids[rows])
        if sequence.condition_ids is not None and bool(
            (sequence.condition_ids[rows] != vocabulary.pad_id).any()
        ):
            condition[name] = vocabulary.to_codes(name, sequence.condition_ids[rows])
        if sequence.group is not None and bool((sequence.group[rows] >= 0).any()):
            group[name] = sequence.group[rows]
        mine = table.modality == index
        start[mine] = table.length[mine].cumsum(0) - table.length[mine]
    segments = SegmentTable(table.sample, table.modality, start, table.shape)
    return TokenBatch(
        vocabulary.names, codes, segments, sequence.sample_id, dict(sequence.inputs), condition, group
    )


def _has_inputs_alone(sequence: TokenSequence, name: str, ids: Tensor) -> bool:
    """Whether the rows `ids` of a modality stand for continuous inputs whose codes are not known."""
    has_codes = sequence.vocabulary.spec(name).has_codes
    return (
        name in sequence.inputs
        and has_codes
        and len(ids) > 0
        and bool((ids == sequence.vocabulary.pad_id).all())
    )


def concatenate(sequences: Sequence[TokenSequence]) -> TokenSequence:
    """One sequence with the samples of all, in order (guidance runs both passes in one forward).

    Raises:
        ValueError: nothing to join, different vocabularies, or condition ids, groups or continuous inputs that only
            some of the sequences have.
    """
    if not sequences or any(s.vocabulary != sequences[0].vocabulary for s in sequences):
        raise ValueError("concatenate needs at least one sequence, all of one vocabulary")
    rows, samples, tables = 0, 0, 0
    segment, sample, offsets = [], [], [sequences[0].cu_seqlens[:1]]
    for s in sequences:
        segment.append(torch.where(s.segment >= 0, s.segment + tables, s.segment))
        sample.append(s.sample + samples)
        offsets.append(s.cu_seqlens[1:] + rows)
        rows, samples, tables = rows + s.num_rows, samples + s.num_samples, tables + len(s.segments)
    return TokenSequence(
        vocabulary=sequences[0].vocabulary,
        ids=torch.cat([s.ids for s in sequences]),
        modality=torch.cat([s.modality for s in sequences]),
        position=torch.cat([s.position for s in sequences]),
        segment=torch.cat(segment),
        sample=torch.cat(sample),
        cu_seqlens=torch.cat(offsets),
        segments=_concatenate_tables(sequences),
        sample_id=torch.cat([s.sample_id for s in sequences]),
        inputs=_concatenate_inputs(sequences),
        condition_ids=_concatenate_optional("condition_ids", [s.condition_ids for s in sequences]),
        group=_concatenate_optional("group", [s.group for s in sequences]),
    )


def _concatenate_tables(sequences: Sequence[TokenSequence]) -> SegmentTable:
    """All tables in order; starts count on from the tokens of the earlier sequences."""
    samples = 0
    filled = torch.zeros(
        len(sequences[0].vocabulary.names), dtype=torch.int64, device=sequences[0].ids.device
    )
    num_axes = max(s.segments.shape.shape[1] for s in sequences)
    sample, start, shape = [], [], []
    for s in sequences:
        table = s.segments
        sample.append(table.sample + samples)
        start.append(table.start + filled[table.modality])
        shape.append(F.pad(table.shape, (0, num_axes - table.shape.shape[1]), value=1))
        filled = filled.index_add(0, table.modality, table.length)
        samples += s.num_samples
    modality = torch.cat([s.segments.modality for s in sequences])
    return SegmentTable(torch.cat(sample), modality, torch.cat(start), torch.cat(shape))


def _concatenate_inputs(sequences: Sequence[TokenSequence]) -> dict[str, Tensor]:
    """Continuous inputs by modality; a sequence without them must have no rows of that modality."""
    joined = {}
    for name in dict.fromkeys(name for s in sequences for name in s.inputs):
        index = sequences[0].vocabulary.index(name)
        for s in sequences:
            if name not in s.inputs and bool((s.modality == index).any()):
                raise ValueError(
                    f"concatenate: only some sequences have continuous inputs for {name!r}; give all"
                )
        joined[name] = torch.cat([s.inputs[name] for s in sequences if name in s.inputs])
    return joined


def _concatenate_optional(field_name: str, values: Sequence[Tensor | None]) -> Tensor | None:
    present = [v for v in values if v is not None]
    if not present:
        return None
    if len(present) != len(values):
        raise ValueError(
            f"concatenate: {len(present)} of {len(values)} sequences have {field_name}; give all or none"
        )
    return torch.cat(present)
