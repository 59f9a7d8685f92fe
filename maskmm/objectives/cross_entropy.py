"""Masked cross-entropy for each (modality, codebook, part), with logits on target rows only."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from maskmm.masking.base import MaskedSequence, TargetRows, part_names
from maskmm.objectives.answers import features_of
from maskmm.objectives.base import MaskedModel, Objective, ObjectiveOutput
from maskmm.objectives.structure import Structure
from tokenizers_vq.contract import Key


class MaskedCrossEntropy(Objective):
    """Cross-entropy of the hidden codes.

    Args:
        label_smoothing: share of the target spread over the codebook.
        structure: who may attend to whom, from the masking's orders or groups; None = all rows of a sample.

    Raises:
        ValueError: label_smoothing outside [0, 1).
    """

    def __init__(self, label_smoothing: float = 0.0, structure: Structure | None = None) -> None:
        super().__init__()
        if not 0.0 <= label_smoothing < 1.0:
            raise ValueError(f"label_smoothing={label_smoothing}, expected 0 <= value < 1")
        self.label_smoothing = label_smoothing
        self.structure = structure

    def forward(self, model: MaskedModel, batch: MaskedSequence, key: Key) -> ObjectiveOutput:
        """Parts "modality/codebook/part" as (sum, count); metrics: loss, accuracy and bits per token for each."""
        sizes = [target.rows.shape[0] for target in batch.target_rows]
        rows = torch.cat([batch.inputs.cu_seqlens[:0], *(target.rows for target in batch.target_rows)])
        features_TD = features_of(model, batch, rows, self.structure)
        # A sum over nothing that still has a gradient: the backward of a batch that asks nothing must run.
        zero = features_TD[:0].float().sum()
        names, nothing = part_names(model.vocabulary, batch.part_names), zero.detach()
        parts = dict.fromkeys(names, (zero, nothing))
        metrics = {f"{n}/{m}": (nothing, nothing) for n in names for m in ("loss", "bits", "accuracy")}
        questions = [(x, t.name, t.codebook) for x, t in zip(features_TD.split(sizes), batch.target_rows)]
        for target, logits in zip(batch.target_rows, model.logits_of(questions)):
            for name, part in self._parts(logits.float(), target, batch.part_names).items():
                parts[name] = part[0], part[3]
                metrics[f"{name}/loss"] = part[0].detach(), part[3]
                metrics[f"{name}/bits"] = part[1] / math.log(2), part[3]
                metrics[f"{name}/accuracy"] = part[2], part[3]
        return ObjectiveOutput(parts, metrics)

    def _parts(
        self, logits_TV: Tensor, target: TargetRows, names: tuple[str, ...]
    ) -> dict[str, tuple[Tensor, Tensor, Tensor, Tensor]]:
        """Name -> sums of loss, plain negative log-likelihood and right answers, and the count."""
        log_prob_TV = logits_TV.log_softmax(dim=-1)
        nll_T = F.nll_loss(log_prob_TV, target.codes, reduction="none")
        loss_T = nll_T
        if self.label_smoothing:
            loss_T = (1 - self.label_smoothing) * nll_T - self.label_smoothing * log_prob_TV.mean(dim=-1)
        with torch.no_grad():
            is_right_T = logits_TV.argmax(dim=-1) == target.codes
        out = {}
        for index, name in enumerate(names):
            weight_T = (target.is_real & (target.part == index)).to(loss_T.dtype)
            sums = (loss_T * weight_T).sum(), (nll_T.detach() * weight_T).sum(), (is_right_T * weight_T).sum()
            out[f"{target.name}/{target.codebook}/{name}"] = (*sums, weight_T.sum())
        return out


def total_loss(
    parts: Mapping[str, tuple[Tensor, Tensor]], counts: Mapping[str, Tensor], weights: Mapping[str, float]
) -> Tensor:
    """Weighted mean of the parts: each modality's codebooks share its weight, each part is sum / count.

    Args:
        parts: name -> (sum, count) of this rank.
        counts: name -> count over all ranks.
        weights: "modality", "modality/codebook" or "modality/codebook/part" -> weight; the longest name that fits
            counts, 1 where none does. The sum of weights is not normalised.

    Returns:
        scalar; 0 where nothing was asked.
    """
    num_codebooks: dict[str, set[str]] = {}
    for name in counts:
        modality, codebook, _ = name.rsplit("/", 2)
        num_codebooks.setdefault(modality, set()).add(codebook)
    total = torch.zeros((), device=next((s.device for s, _ in parts.values()), None))
    for name, (value, _) in parts.items():
        modality, codebook, _ = name.rsplit("/", 2)
        names = (name, f"{modality}/{codebook}", modality)
        weight = next((weights[known] for known in names if known in weights), 1.0)
        total = total + weight / len(num_codebooks[modality]) * value / counts[name].clamp(min=1)
    return total
