"""Naive twin of IterativeDecoder: one sample, plain loops, MaskGIT's steps as its authors number them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import torch

from maskmm.objectives.base import MaskedModel
from maskmm.sequence import TokenSequence
from tokenizers_vq.contract import Key


def sample_by_running_sum(weights: list[float], uniform: float) -> int:
    """First code at which the running sum of the weights passes uniform * total."""
    target, running = uniform * math.fsum(weights), 0.0
    for code, weight in enumerate(weights):
        running += weight
        if running > target:
            return code
    return max(code for code, weight in enumerate(weights) if weight > 0)


def counts_after_each_step(gamma: Callable[[float], float], num_steps: int, unknown: int) -> list[int]:
    """Slots still masked after steps 0, 1, ..., num_steps of one sample."""
    steps = min(num_steps, unknown)
    counts = [unknown]
    for t in range(1, num_steps + 1):
        if t >= steps:
            counts.append(0)
        else:
            wanted = math.floor(gamma(t / steps) * unknown + 1e-9)
            counts.append(max(min(wanted, counts[-1] - 1), steps - t))
    return counts


def decode_one(
    model: MaskedModel,
    sequence: TokenSequence,
    is_unknown: torch.Tensor,
    key: Key,
    num_steps: int,
    gamma: Callable[[float], float],
    noise_temperature: float,
    temperature: float,
    guidance_scale: float,
    is_coarse_first: bool = False,
    remask: str | float | None = None,
) -> TokenSequence:
    """Decode a sequence of a single sample; condition segments are those without unknown slots.

    `remask` is None, "confidence", or the share of the filled slots that is masked again.
    """
    vocabulary = sequence.vocabulary
    ids = sequence.ids.clone()
    open_slots = [tuple(slot) for slot in is_unknown.nonzero().tolist()]
    counts = counts_after_each_step(gamma, num_steps, len(open_slots))
    steps = min(num_steps, len(open_slots))
    open_segments = {int(sequence.segment[row]) for row, _ in open_slots}
    kept_rows = [r for r in range(len(ids)) if int(sequence.segment[r]) in open_segments | {-1}]
    place = sequence.row_in_segment().tolist()

    def counters_of(slot: tuple[int, ...], t: int) -> tuple[int, ...]:
        row, codebook = slot
        return int(sequence.sample_id[0]), t, int(sequence.segment[row]), place[row], codebook

    filled: dict[tuple[int, ...], float] = {}
    for t in range(1, steps + 1):
        # 1. All unknown slots hold [MASK].
        for row, codebook in open_slots:
            ids[row, codebook] = vocabulary.mask_id()
        now = replace(sequence, ids=ids.clone())
        # 2. Predict, with and without the condition.
        conditional = model.forward_features(now)
        unconditional = model.forward_features(now.select_rows(torch.tensor(kept_rows)))
        sampled, scores, log_prob = {}, {}, {}
        for row, codebook in open_slots:
            name = vocabulary.names[int(sequence.modality[row]) - 1]
            c = model.logits(conditional[row : row + 1], name, codebook)[0]
            u = model.logits(unconditional[kept_rows.index(row)][None], name, codebook)[0]
            logits = (u + guidance_scale * (c - u) if guidance_scale != 1.0 else c).double()
            counters = counters_of((row, codebook), t)
            # 3. Sample a code; its confidence is the untempered log-probability.
            if temperature == 0.0:
                code = int(logits.argmax())
            else:
                weights = ((logits - logits.max()) / temperature).exp().tolist()
                code = sample_by_running_sum(weights, float(key.fold("code").uniform(*counters)))
            sampled[row, codebook] = vocabulary.slice(name, codebook).start + code
            noise = float(key.fold("order").gumbel(*counters))
            annealed = noise_temperature * (1 - t / steps) * noise
            log_prob[row, codebook] = float(logits.log_softmax(0)[code])
            scores[row, codebook] = log_prob[row, codebook] + annealed
        # 4. Filled slots that may be masked again: as unsure as those that stay masked, or drawn.
        reopened = []
        if remask == "confidence":
            everything = sorted({**filled, **log_prob}.items(), key=lambda item: -item[1])
            reopened = [slot for slot, _ in everything[len(everything) - counts[t] :] if slot in filled]
        elif isinstance(remask, float):
            uniform = {slot: float(key.fold("remask").uniform(*counters_of(slot, t))) for slot in filled}
            reopened = sorted(filled, key=lambda slot: -uniform[slot])[: int(remask * len(filled))]
        # 5. Reveal the best; as many stay masked as the schedule of the number unknown at the start says.
        scores |= {slot: filled[slot] for slot in reopened}
        ranked = sorted(
            [*open_slots, *reopened],
            key=lambda s: (s[1] if is_coarse_first else 0, s in reopened, -scores[s]),
        )
        num_revealed = len(ranked) - counts[t]
        for slot in ranked[:num_revealed]:
            ids[slot] = sampled.get(slot, int(ids[slot]))
            filled[slot] = log_prob.get(slot, filled.get(slot, 0.0))
        open_slots = ranked[num_revealed:]
        filled = {slot: value for slot, value in filled.items() if slot not in open_slots}
    return replace(sequence, ids=ids)
