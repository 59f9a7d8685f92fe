"""Masked cross-entropy for each (modality, codebook, part), with logits on target rows only."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from maskmm.masking.base import MaskedSequence, TargetRows, part_names
from maskmm.nn.linear import linear
from maskmm.nn.linear_cross_entropy import MAX_LOGITS_CPU, Question, code_scores
from maskmm.objectives.answers import features_of
from maskmm.objectives.base import MaskedModel, Objective, ObjectiveOutput, TableHead
from maskmm.objectives.structure import Structure
from tokenizers_vq.contract import Key


class _Answers(NamedTuple):
    """Of the T rows of a question: negative log-likelihood, its mean over all codes (smoothing alone), is right."""

    nll: Tensor
    spread: Tensor
    is_right: Tensor


class MaskedCrossEntropy(Objective):
    """Cross-entropy of the hidden codes.

    Args:
        label_smoothing: share of the target spread over the codebook.
        structure: who may attend to whom, from the masking's orders or groups; None = all rows of a sample.
        max_logits: logits kept for the backward; those beyond are computed again there, tile by tile, so that memory
            does not grow with rows times codes. None = 16,777,216 on CPUs; elsewhere all of them in one piece, which
            a compiled graph fuses with what is around it.

    Raises:
        ValueError: label_smoothing outside [0, 1), or negative max_logits.
    """

    def __init__(
        self,
        label_smoothing: float = 0.0,
        structure: Structure | None = None,
        max_logits: int | None = None,
    ) -> None:
        super().__init__()
        if not 0.0 <= label_smoothing < 1.0:
            raise ValueError(f"label_smoothing={label_smoothing}, expected 0 <= value < 1")
        if max_logits is not None and max_logits < 0:
            raise ValueError(f"max_logits={max_logits}, expected at least 0, or None for the device's choice")
        self.label_smoothing = label_smoothing
        self.structure = structure
        self.max_logits = max_logits

    def forward(self, model: MaskedModel, batch: MaskedSequence, key: Key) -> ObjectiveOutput:
        """Parts "modality/codebook/part" as (sum, count); metrics: loss, accuracy and bits per token for each."""
        rows = torch.cat([batch.inputs.cu_seqlens[:0], *(target.rows for target in batch.target_rows)])
        features_TD = features_of(model, batch, rows, self.structure)
        # A sum over nothing that still has a gradient: the backward of a batch that asks nothing must run.
        zero = features_TD[:0].float().sum()
        names, nothing = part_names(model.vocabulary, batch.part_names), zero.detach()
        parts = dict.fromkeys(names, (zero, nothing))
        metrics = {f"{n}/{m}": (nothing, nothing) for n in names for m in ("loss", "bits", "accuracy")}
        answers = self._answers(model, features_TD, batch.target_rows)
        sums = [self._sums(a, t, len(batch.part_names)) for a, t in zip(answers, batch.target_rows)]
        for target, sums_P4 in zip(batch.target_rows, sums):
            for part, sums_4 in zip(batch.part_names, sums_P4.unbind(0)):
                # Copies: a compiled graph cannot hand out views of what it made inside.
                loss, nll, num_right, count = (value.clone() for value in sums_4.unbind(0))
                name = f"{target.name}/{target.codebook}/{part}"
                parts[name] = loss, count.detach()
                metrics[f"{name}/loss"] = loss.detach(), count.detach()
                metrics[f"{name}/bits"] = nll.detach() / math.log(2), count.detach()
                metrics[f"{name}/accuracy"] = num_right.detach(), count.detach()
        return ObjectiveOutput(parts, metrics)

    def _answers(
        self, model: MaskedModel, features_TD: Tensor, targets: Sequence[TargetRows]
    ) -> list[_Answers]:
        """Of each target list."""
        if not targets:
            return []
        max_logits = self.max_logits
        if max_logits is None and features_TD.device.type == "cpu" and isinstance(model, TableHead):
            max_logits = MAX_LOGITS_CPU
        if max_logits is None:
            features = features_TD.split([target.rows.shape[0] for target in targets])
            questions = [(x_TD, target.name, target.codebook) for x_TD, target in zip(features, targets)]
            return [
                self._of_logits(x, target.codes) for x, target in zip(model.logits_of(questions), targets)
            ]
        if not isinstance(model, TableHead):
            raise ValueError(
                f"max_logits={max_logits} needs a model with head_table() and head_transform, which "
                f"{type(model).__name__} has not; use max_logits=None, or a MaskedTransformer"
            )
        return self._in_tiles(model, features_TD, targets, max_logits)

    def _of_logits(self, logits_TV: Tensor, codes_T: Tensor) -> _Answers:
        log_prob_TV = logits_TV.float().log_softmax(dim=-1)
        nll_T = F.nll_loss(log_prob_TV, codes_T, reduction="none")
        spread_T = -log_prob_TV.mean(dim=-1) if self.label_smoothing else nll_T
        return _Answers(nll_T, spread_T, logits_TV.detach().argmax(dim=-1) == codes_T)

    def _in_tiles(
        self, model: MaskedModel, features_TD: Tensor, targets: Sequence[TargetRows], max_logits: int
    ) -> list[_Answers]:
        assert isinstance(model, TableHead)
        x_TD, (table_VD, bias_V) = model.head_transform(features_TD), model.head_table()
        slices = [model.vocabulary.slice(target.name, target.codebook) for target in targets]
        questions = [Question(t.rows.shape[0], ids.start, ids.stop) for t, ids in zip(targets, slices)]
        ids_T = torch.cat([target.codes + ids.start for target, ids in zip(targets, slices)])
        log_sum_T, right_T, largest_T = code_scores(x_TD, table_VD, bias_V, ids_T, questions, max_logits)
        nll_T = spread_T = log_sum_T - right_T
        sizes = [question.num_rows for question in questions]
        if self.label_smoothing:
            # The mean of logits is the logit of the mean code.
            means = [
                linear(
                    x, table_VD[ids].mean(dim=0, keepdim=True), None if bias_V is None else bias_V[ids].mean()
                )
                for x, ids in zip(x_TD.split(sizes), slices)
            ]
            spread_T = log_sum_T - torch.cat(means)[:, 0].float()
        lists = (nll_T, spread_T, largest_T == right_T.detach())
        return [_Answers(*parts) for parts in zip(*(values.split(sizes) for values in lists))]

    def _sums(self, answers: _Answers, target: TargetRows, num_parts: int) -> Tensor:
        """(P, 4) for each part: loss, plain negative log-likelihood, right answers, count."""
        nll_T, spread_T, is_right_T = answers
        loss_T = nll_T
        if self.label_smoothing:
            loss_T = (1 - self.label_smoothing) * nll_T + self.label_smoothing * spread_T
        parts_P1 = torch.arange(num_parts, device=target.part.device)[:, None]
        weight_PT = (target.is_real & (target.part == parts_P1)).to(loss_T.dtype)
        figures_T4 = [loss_T, nll_T.detach(), is_right_T.to(loss_T.dtype), torch.ones_like(nll_T)]
        return torch.stack([(figure * weight_PT).sum(dim=1) for figure in figures_T4], dim=1)


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
