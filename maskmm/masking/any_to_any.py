"""One masking that trains every direction: each modality of a sample is a condition or a target."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from maskmm.masking.base import MaskedSequence, Masking, masked_at
from maskmm.masking.hiding import EachCode, Hiding
from maskmm.schedules import CosineSchedule, MaskSchedule
from maskmm.sequence import TokenSequence
from tokenizers_vq.contract import Key


class AnyToAnyMasking(Masking):
    """Mask ratio 0 for conditions, gamma(u) for targets, drawn for each sample.

    A sample with M modalities has a single target with probability `single_target`, else 2 .. M targets (uniform); a
    sample with one modality has that as its target, which is unconditional generation. Length labels are always
    targets, and alone: the other modalities of such a sample are conditions. Every segment of a target hides exactly
    max(1, round(gamma(u) n Q)) of its n Q codes, each (position, codebook) on its own, or about as many by `hiding`.

    Args:
        schedule: gamma, for all modalities.
        schedules: modality name -> its own gamma.
        single_target: probability of one target where several modalities are present.
        condition_noise: conditions hide a share of their codes drawn from [0, condition_noise); they are not asked.
            It is an augmentation that keeps reading from memorising items.
        hiding: which codes of a segment; each on its own where not given, `WholeGroups` for whole words.

    Raises:
        ValueError: a probability outside [0, 1].
    """

    def __init__(
        self,
        schedule: MaskSchedule | None = None,
        schedules: Mapping[str, MaskSchedule] | None = None,
        single_target: float = 0.8,
        condition_noise: float = 0.0,
        hiding: Hiding | None = None,
    ) -> None:
        if not 0.0 <= single_target <= 1.0 or not 0.0 <= condition_noise < 1.0:
            raise ValueError(
                f"single_target={single_target}, condition_noise={condition_noise}: expected shares in [0, 1]"
            )
        self.schedule = schedule or CosineSchedule()
        self.schedules = dict(schedules or {})
        self.single_target = single_target
        self.condition_noise = condition_noise
        self.hiding = hiding or EachCode()

    def __call__(self, sequence: TokenSequence, key: Key) -> MaskedSequence:
        """Mask one packed batch; the same for a sample id and key wherever the sample lies."""
        is_target_BM = self._targets(sequence, key)
        table = sequence.segments
        sample_id = sequence.sample_id[table.sample]
        is_target_S = is_target_BM[table.sample, table.modality]
        u_S = key.fold("ratio").uniform(sample_id, table.modality)
        noise_S = self.condition_noise * key.fold("noise").uniform(sample_id, table.modality)
        ratio_S = torch.where(is_target_S, self._ratios(sequence, u_S), noise_S)
        is_masked = self.hiding(sequence, ratio_S, is_target_S.long(), key.fold("slot"))
        # Special rows belong to segment -1, which finds the False at the end.
        is_target_row = F.pad(is_target_S, (0, 1))[sequence.segment]
        return masked_at(sequence, is_masked, is_masked & is_target_row[:, None])

    def _targets(self, sequence: TokenSequence, key: Key) -> Tensor:
        """(B, M) bool: which modalities of each sample are asked."""
        names, table = sequence.vocabulary.names, sequence.segments
        is_present = torch.zeros(sequence.num_samples, len(names), dtype=torch.bool)
        # What has no codes cannot be asked for; it is a condition wherever it is present.
        has_codes = torch.tensor([m.spec.has_codes for m in sequence.vocabulary.modalities])
        is_present[table.sample, table.modality] = has_codes[table.modality]
        sample_id = sequence.sample_id[:, None]
        modality = torch.arange(len(names))[None]
        score = key.fold("target").uniform(sample_id, modality).masked_fill(~is_present, 2.0)
        rank = score.argsort(dim=1).argsort(dim=1)
        num_present = is_present.sum(dim=1, keepdim=True)
        is_single = key.fold("single").uniform(sample_id) < self.single_target
        several = 2 + key.fold("several").integers((num_present - 1).clamp(min=1), sample_id)
        num_targets = torch.where(is_single, 1, several).clamp(max=num_present)
        is_label = torch.tensor([name.endswith(".length") for name in names])[None] & is_present
        return torch.where(is_label.any(dim=1, keepdim=True), is_label, is_present & (rank < num_targets))

    def _ratios(self, sequence: TokenSequence, u_S: Tensor) -> Tensor:
        ratio_S = self.schedule(u_S)
        for name, schedule in self.schedules.items():
            is_mine = sequence.segments.modality == sequence.vocabulary.index(name) - 1
            ratio_S = torch.where(is_mine, schedule(u_S), ratio_S)
        return ratio_S
