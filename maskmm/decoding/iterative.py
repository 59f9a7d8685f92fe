"""Iterative masked decoding: fill all unknown slots of a packed batch in a few parallel steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from maskmm.decoding.filters import LogitFilter
from maskmm.decoding.guesses import Guesses
from maskmm.decoding.guidance import Guidance
from maskmm.decoding.orders import ConfidenceOrder, UnmaskOrder
from maskmm.decoding.remasking import RemaskPolicy
from maskmm.decoding.sampling import sample_codes
from maskmm.decoding.slots import Slots, rank_in_sample
from maskmm.objectives.base import MaskedModel
from maskmm.schedules import CosineSchedule, MaskSchedule, num_masked
from maskmm.sequence import TokenSequence
from tokenizers_vq.contract import Key

StepCallback = Callable[[int, TokenSequence], None]
"""Told the step (1-based) and the whole sequence after it, unknown slots still [MASK]."""


@dataclass(frozen=True)
class IterativeDecoder:
    """Parallel decoding (Chang et al., MaskGIT, 2022), with each axis of choice an object of its own.

    Each sample takes min(num_steps, its unknown slots) forwards and then leaves the batch. At every step: predict the
    masked slots; sample a code for each; reveal the best-ranked, as many as the schedule says; leave the rest masked.
    Given codes never change, and without `remask` revealed ones do not either.

    Args:
        num_steps: most steps a sample takes.
        schedule: share of the slots unknown at the start that is still masked after each step.
        order: which slots are revealed first.
        filters: applied to logits before sampling, in order.
        guidance: classifier-free guidance.
        remask: which revealed slots are masked again at each step; none where not given.

    Raises:
        ValueError: num_steps below 1.
    """

    num_steps: int = 12
    schedule: MaskSchedule = field(default_factory=CosineSchedule)
    order: UnmaskOrder = field(default_factory=ConfidenceOrder)
    filters: Sequence[LogitFilter] = ()
    guidance: Guidance = field(default_factory=Guidance)
    remask: RemaskPolicy | None = None

    def __post_init__(self) -> None:
        if self.num_steps < 1:
            raise ValueError(f"num_steps={self.num_steps}, expected at least 1")

    @torch.no_grad()
    def decode(
        self,
        model: MaskedModel,
        sequence: TokenSequence,
        is_unknown: Tensor,
        seed: int | Key,
        is_condition: Tensor | None = None,
        callback: StepCallback | None = None,
    ) -> TokenSequence:
        """Fill the unknown slots.

        Args:
            model: in eval mode, on the sequence's device.
            sequence: N rows; what unknown slots hold does not matter.
            is_unknown: (N, Q) bool, slots to fill, in any pattern.
            seed: the same seed gives the same codes for a sample id, whatever else is in the batch.
            is_condition: (S,) bool, segments that the unconditional pass of guidance lacks; where not given, the
                segments without unknown slots.
            callback: called after each step.

        Returns:
            the sequence with every unknown slot filled by a code of its own codebook.

        Raises:
            ValueError: shapes that do not fit, an unknown slot that no modality owns, an unknown slot in a
                condition segment or beside a continuous input, a model in training mode, or NaN logits.
        """
        _check(model, sequence, is_unknown, is_condition)
        slots = Slots.of(sequence, is_unknown)
        if not len(slots):
            return sequence
        key = seed if isinstance(seed, Key) else Key(seed)
        num_unknown_B = slots.count(sequence.num_samples)
        num_steps_B = num_unknown_B.clamp(max=self.num_steps)
        masked_BT = num_masked(self.schedule, self.num_steps, num_unknown_B)
        is_condition_row = self._condition_rows(sequence, slots, is_condition)
        offsets = sequence.vocabulary.offsets().to(sequence.ids.device)
        mask_id = sequence.vocabulary.mask_id()
        sequence = sequence.hide(is_unknown.long())
        is_nan = torch.zeros((), dtype=torch.bool, device=sequence.ids.device)
        filled = Guesses.none(slots)
        for step in range(1, int(num_steps_B.max()) + 1):
            is_active = (num_steps_B >= step)[sequence.sample]
            active = sequence.select_rows(is_active)
            progress = step / num_steps_B[slots.sample].double()
            features = self.guidance.features(
                model,
                active,
                (is_active.cumsum(0) - 1)[slots.row],
                None if is_condition_row is None else is_condition_row[is_active],
                progress,
            )
            guesses = Guesses(slots, *self._sample(model, features, slots, step, key.fold("code")))
            is_nan |= guesses.log_prob.isnan().any()
            score = self.order.scores(slots, guesses.log_prob, progress, step, key.fold("order"))
            num_left_B = masked_BT[:, step]
            if self.remask is not None:
                is_reopened = self.remask.reopened(filled, guesses, num_left_B, step, key.fold("remask"))
                guesses, filled = guesses.join(filled.select(is_reopened)), filled.select(~is_reopened)
            is_revealed = self._is_revealed(guesses, score, num_left_B)
            slots = guesses.slots
            ids = sequence.ids.clone()
            ids[slots.row, slots.codebook] = torch.where(
                is_revealed, offsets[slots.modality, slots.codebook] + guesses.codes, mask_id
            )
            sequence, slots = replace(sequence, ids=ids), slots.select(~is_revealed)
            if self.remask is not None:
                filled = filled.join(guesses.select(is_revealed))
            if callback is not None:
                callback(step, sequence)
        if bool(is_nan):
            raise ValueError(
                "the model's logits hold NaN; expected finite numbers, so check its weights and inputs"
            )
        return sequence

    def _condition_rows(
        self, sequence: TokenSequence, slots: Slots, is_condition: Tensor | None
    ) -> Tensor | None:
        """(N,) bool, or None where guidance has nothing to leave out."""
        if self.guidance.scale == 1.0:
            return None
        has_unknown = torch.zeros(len(sequence.segments), dtype=torch.bool, device=sequence.ids.device)
        has_unknown[sequence.segment[slots.row]] = True
        if is_condition is None:
            is_condition = ~has_unknown
        elif bool((is_condition & has_unknown).any()):
            raise ValueError(
                "a condition segment holds unknown slots; expected conditions to be wholly known"
            )
        is_row = (sequence.segment >= 0) & is_condition[sequence.segment]
        return is_row if bool(is_row.any()) else None

    def _is_revealed(self, guesses: Guesses, score: Tensor, num_left_B: Tensor) -> Tensor:
        """(T,) bool: all guesses but `num_left_B` in each sample; the order has scored those before the reopened ones.

        Reopened slots come last within their priority: they are what is masked first.
        """
        slots, num_scored = guesses.slots, len(score)
        is_reopened = torch.arange(len(slots), device=score.device) >= num_scored
        score = torch.cat([score, guesses.log_prob[num_scored:]])
        rank = rank_in_sample(slots, score, 2 * self.order.priority(slots) + is_reopened)
        return rank < (slots.count(len(num_left_B)) - num_left_B)[slots.sample]

    def _sample(
        self, model: MaskedModel, features_TD: Tensor, slots: Slots, step: int, key: Key
    ) -> tuple[Tensor, Tensor]:
        """Codes (T,) and their log-probabilities (T,), with logits of each slot's own codebook alone."""
        uniform_T = key.uniform(*slots.counters(step))
        codes_T = torch.zeros_like(slots.row)
        log_prob_T = torch.zeros(len(slots), dtype=torch.float32, device=slots.row.device)
        for number, modality in enumerate(model.vocabulary.modalities, start=1):
            for codebook in range(modality.spec.num_codebooks):
                mine = ((slots.modality == number) & (slots.codebook == codebook)).nonzero().flatten()
                if mine.shape[0]:
                    logits = model.logits(features_TD[mine], modality.name, codebook)
                    codes_T[mine], log_prob_T[mine] = sample_codes(logits, uniform_T[mine], self.filters)
        return codes_T, log_prob_T


def _check(
    model: MaskedModel, sequence: TokenSequence, is_unknown: Tensor, is_condition: Tensor | None
) -> None:
    if is_unknown.shape != sequence.ids.shape or is_unknown.dtype != torch.bool:
        raise ValueError(
            f"is_unknown is {is_unknown.dtype} of shape {tuple(is_unknown.shape)}, expected bool of shape "
            f"{tuple(sequence.ids.shape)}"
        )
    if is_condition is not None and is_condition.shape != (len(sequence.segments),):
        raise ValueError(
            f"is_condition has shape {tuple(is_condition.shape)}, expected one entry for each of the "
            f"{len(sequence.segments)} segments"
        )
    if bool((is_unknown & ~sequence.has_codebook()).any()):
        raise ValueError("is_unknown names slots that no modality owns; expected codes of segments alone")
    for name in sequence.inputs:
        is_mine = sequence.modality == sequence.vocabulary.index(name)
        if bool((is_unknown.any(dim=1) & is_mine).any()):
            raise ValueError(
                f"unknown slots of {name!r}, which has continuous inputs: rows would show those again as soon as they "
                "are filled; leave the inputs out, e.g. by an Edit of codes instead of media"
            )
    if getattr(model, "training", False):
        raise ValueError("the model is in training mode; call model.eval() before decoding")
