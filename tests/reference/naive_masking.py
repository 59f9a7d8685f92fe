"""Any-to-any masking of one batch by loops over samples, segments and slots."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from maskmm.schedules import MaskSchedule
from maskmm.sequence import TokenSequence
from tokenizers_vq.contract import Key


def any_to_any(
    sequence: TokenSequence,
    key: Key,
    schedules: Mapping[str, MaskSchedule],
    single_target: float,
    condition_noise: float,
) -> tuple[Tensor, Tensor]:
    """(N, Q) bool each: what is hidden, and what is asked."""
    is_masked = torch.zeros(sequence.ids.shape, dtype=torch.bool)
    is_target = torch.zeros(sequence.ids.shape, dtype=torch.bool)
    for sample in range(sequence.num_samples):
        segments = (sequence.segments.sample == sample).nonzero().flatten().tolist()
        wanted = target_names(sequence, sample, segments, key, single_target)
        for segment in segments:
            name = sequence.vocabulary.names[int(sequence.segments.modality[segment])]
            chosen = hidden_slots(
                sequence, sample, segment, key, schedules[name], name in wanted, condition_noise
            )
            for row, codebook in chosen:
                is_masked[row, codebook] = True
                is_target[row, codebook] = name in wanted
    return is_masked, is_target


def target_names(
    sequence: TokenSequence, sample: int, segments: list[int], key: Key, single_target: float
) -> set[str]:
    """The modalities of one sample that are asked."""
    names, sample_id = sequence.vocabulary.names, int(sequence.sample_id[sample])
    present = sorted({int(sequence.segments.modality[s]) for s in segments})
    labels = {names[m] for m in present if names[m].endswith(".length")}
    if labels or not present:
        return labels
    ranked = sorted(present, key=lambda m: float(key.fold("target").uniform(sample_id, m)))
    count = 1
    if len(present) > 1 and float(key.fold("single").uniform(sample_id)) >= single_target:
        count = 2 + int(key.fold("several").integers(len(present) - 1, sample_id))
    return {names[m] for m in ranked[:count]}


def hidden_slots(
    sequence: TokenSequence,
    sample: int,
    segment: int,
    key: Key,
    schedule: MaskSchedule,
    is_asked: bool,
    condition_noise: float,
) -> list[tuple[int, int]]:
    """(row, codebook) of the slots of one segment that are hidden."""
    sample_id, modality = int(sequence.sample_id[sample]), int(sequence.segments.modality[segment])
    first = int(sequence.cu_seqlens[sample])
    num_codebooks = sequence.vocabulary.modalities[modality].spec.num_codebooks
    slots = [
        (float(key.fold("slot").uniform(sample_id, row - first, codebook)), row, codebook)
        for row in (sequence.segment == segment).nonzero().flatten().tolist()
        for codebook in range(num_codebooks)
    ]
    if is_asked:
        count = max(1, round(schedule(float(key.fold("ratio").uniform(sample_id, modality))) * len(slots)))
    else:
        count = round(condition_noise * float(key.fold("noise").uniform(sample_id, modality)) * len(slots))
    return [(row, codebook) for _, row, codebook in sorted(slots)[:count]]


def whole_groups(sequence: TokenSequence, ratio: Tensor, least: Tensor, key: Key) -> Tensor:
    """(N, Q) bool: groups of each segment in random order until enough is hidden, the last one by its probability."""
    is_hidden = torch.zeros(sequence.ids.shape, dtype=torch.bool)
    for segment in range(len(sequence.segments)):
        sample = int(sequence.segments.sample[segment])
        sample_id, first = int(sequence.sample_id[sample]), int(sequence.cu_seqlens[sample])
        modality = int(sequence.segments.modality[segment])
        groups: dict[tuple[str, int, int], list[int]] = {}
        for codebook in range(sequence.vocabulary.modalities[modality].spec.num_codebooks):
            for row in (sequence.segment == segment).nonzero().flatten().tolist():
                group = -1 if sequence.group is None else int(sequence.group[row])
                name = ("alone", row, codebook) if group < 0 else ("group", group, codebook)
                groups.setdefault(name, []).append(row)
        num_codes = sum(len(rows) for rows in groups.values())
        count = max(int(least[segment]), round(float(ratio[segment]) * num_codes))
        named = [(sample_id, rows[0] - first, name[2], rows) for name, rows in groups.items()]
        done = 0
        for place, (*counters, rows) in enumerate(sorted(named, key=lambda g: float(key.uniform(*g[:3])))):
            is_taken = done + float(key.fold("edge").uniform(*counters)) * len(rows) < count
            if is_taken or (place == 0 and int(least[segment])):
                is_hidden[rows, counters[2]] = True
            done += len(rows)
    return is_hidden
