"""Masked batches of one shape: rows, samples and segments filled up to a token budget."""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from maskmm.masking.base import MaskedSequence
from maskmm.sequence import TokenSequence
from tokenizers_vq.contract import SegmentTable, TokenBudget


def fill(batch: MaskedSequence, budget: TokenBudget) -> MaskedSequence:
    """The same batch with [PAD] rows at the end, so that every tensor has a shape given by the budget.

    The rows beyond the last sample belong to samples of their own (row kernels leave rows that no sample owns
    undefined): the tail is shared out evenly among the free places for samples (`TokenBudget.places`), and what then
    is left of them are samples of no rows, whose offsets repeat the last. Nothing is asked of [PAD] rows.

    Args:
        batch: masked; its target rows are still to be made.
        budget: shape.

    Raises:
        ValueError: a batch larger than the budget.
    """
    sequence = batch.inputs
    num_segments = segment_capacity(sequence, budget)
    found = (sequence.num_rows, sequence.num_samples, len(sequence.segments))
    if found[0] > budget.rows or found[1] > budget.samples or found[2] > num_segments:
        raise ValueError(
            f"a pack of {found[0]} rows, {found[1]} samples and {found[2]} segments does not fit the token budget of "
            f"{budget.rows}, {budget.samples} and {num_segments}; raise the budget, or batch by packs"
        )
    missing = budget.rows - sequence.num_rows

    def at_end(value: Tensor | None, filler: int) -> Tensor | None:
        return None if value is None else F.pad(value, (0, 0) * (value.ndim - 1) + (0, missing), value=filler)

    mask_kind, targets = at_end(batch.mask_kind, 0), at_end(batch.targets, sequence.vocabulary.pad_id)
    is_target, part = at_end(batch.is_target, False), at_end(batch.part, 0)
    assert mask_kind is not None and targets is not None and is_target is not None and part is not None
    return replace(
        batch,
        inputs=_fill_sequence(sequence, budget, num_segments),
        mask_kind=mask_kind,
        targets=targets,
        is_target=is_target,
        part=part,
        order=at_end(batch.order, 0),
        group=at_end(batch.group, -1),
        is_encoded=at_end(batch.is_encoded, True),
    )


def check_window(window: int | None, budget: TokenBudget) -> None:
    """Refuse local layers that see every row that a pack may give a sample.

    Args:
        window: rows that they see to each side; None = there are none.
        budget: shape of a pack.

    Raises:
        ValueError: a window larger than the budget.
    """
    bound = min(budget.rows, budget.longest or budget.rows)
    if window is not None and window > bound:
        raise ValueError(
            f"window={window} is larger than the token budget of rows={budget.rows}, longest={budget.longest}: a "
            f"sample has at most {bound} rows, and local layers would see them all; take window=None, or raise the "
            "budget"
        )


def segment_capacity(sequence: TokenSequence, budget: TokenBudget) -> int:
    """Rows of the filled table of segments."""
    # Length labels take the place of their modality's segment.
    num_modalities = sum(not name.endswith(".length") for name in sequence.vocabulary.names)
    return budget.samples * num_modalities if budget.segments is None else budget.segments


def _fill_sequence(sequence: TokenSequence, budget: TokenBudget, num_segments: int) -> TokenSequence:
    missing, free = budget.rows - sequence.num_rows, budget.places - sequence.num_samples
    length = max(-(-missing // free), 1)
    offsets = sequence.num_rows + (torch.arange(1, free + 1) * length).clamp(max=missing)
    tail = torch.arange(missing)

    def rows(value: Tensor, filler: int) -> Tensor:
        return torch.cat([value, value.new_full((missing, *value.shape[1:]), filler)])

    pad_id = sequence.vocabulary.pad_id
    return replace(
        sequence,
        ids=rows(sequence.ids, pad_id),
        modality=rows(sequence.modality, 0),
        position=rows(sequence.position, 0),
        segment=rows(sequence.segment, -1),
        sample=torch.cat([sequence.sample, sequence.num_samples + tail // length]),
        cu_seqlens=torch.cat([sequence.cu_seqlens, offsets]),
        segments=_fill_table(sequence.segments, budget.samples, num_segments),
        sample_id=F.pad(sequence.sample_id, (0, free), value=-1),
        inputs={
            name: F.pad(value, (0, 0, 0, budget.rows - len(value))) for name, value in sequence.inputs.items()
        },
        condition_ids=None if sequence.condition_ids is None else rows(sequence.condition_ids, pad_id),
        group=None if sequence.group is None else rows(sequence.group, -1),
    )


def _fill_table(table: SegmentTable, last_sample: int, num_segments: int) -> SegmentTable:
    """Segments of no tokens, in the last sample, which is never a real one."""
    missing = num_segments - len(table)
    # At least one axis, or a row of the table could not say 0.
    shape = F.pad(table.shape, (0, max(1 - table.shape.shape[1], 0)), value=1)
    return SegmentTable(
        F.pad(table.sample, (0, missing), value=last_sample),
        F.pad(table.modality, (0, missing)),
        F.pad(table.start, (0, missing)),
        F.pad(shape, (0, 0, 0, missing)),
    )
