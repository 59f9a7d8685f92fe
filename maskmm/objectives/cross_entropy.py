"""Masked cross-entropy for each (modality, codebook, part), with logits on target rows only."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from maskmm.masking.base import MaskedSequence, TargetRows, part_names
from maskmm.objectives.answers import features_of
from maskmm.objectives.base import MaskedModel, Objective, ObjectiveOutput, SplitHeads
from maskmm.objectives.structure import Structure
from tokenizers_vq.contract import Key


class MaskedCrossEntropy(Objective):
    """Cross-entropy of the hidden codes.

    Args:
        label_smoothing: share of the target spread over the codebook.
        structure: who may attend to whom, from the masking's orders or groups; None = all rows of a sample.
        chunk_size: most rows whose logits are there at once; the backward computes them again, chunk by chunk. Memory
            then does not grow with rows times codes, for about 1.4 times the head's time. None = all at once.

    Raises:
        ValueError: label_smoothing outside [0, 1), or a chunk_size below 1.
    """

    def __init__(
        self,
        label_smoothing: float = 0.0,
        structure: Structure | None = None,
        chunk_size: int | None = None,
    ) -> None:
        super().__init__()
        if not 0.0 <= label_smoothing < 1.0:
            raise ValueError(f"label_smoothing={label_smoothing}, expected 0 <= value < 1")
        if chunk_size is not None and chunk_size < 1:
            raise ValueError(f"chunk_size={chunk_size}, expected at least 1, or None for all rows at once")
        self.label_smoothing = label_smoothing
        self.structure = structure
        self.chunk_size = chunk_size

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
        sums = self._sums(model, features_TD.split(sizes), batch.target_rows, len(batch.part_names))
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

    def _sums(
        self,
        model: MaskedModel,
        features: Sequence[Tensor],
        targets: Sequence[TargetRows],
        num_parts: int,
    ) -> list[Tensor]:
        """(P, 4) of each target list, see `_sums_of`."""
        if self.chunk_size is None:
            questions = [(x_TD, t.name, t.codebook) for x_TD, t in zip(features, targets)]
            return [
                self._sums_of(logits, t.codes, t.part, t.is_real, num_parts)
                for t, logits in zip(targets, model.logits_of(questions))
            ]
        if not isinstance(model, SplitHeads):
            raise ValueError(
                f"chunk_size={self.chunk_size} needs a model with heads(), and {type(model).__name__} has none; use "
                "chunk_size=None, or a MaskedTransformer"
            )
        heads = model.heads() if targets else {}
        return [
            self._chunked(heads[t.name, t.codebook], x_TD, t, num_parts, self.chunk_size)
            for x_TD, t in zip(features, targets)
        ]

    def _chunked(
        self,
        head: Callable[[Tensor], Tensor],
        features_TD: Tensor,
        target: TargetRows,
        num_parts: int,
        size: int,
    ) -> Tensor:
        """(P, 4), see `_sums_of`, of `size` rows at a time."""

        def sums(x_CD: Tensor, codes: Tensor, part: Tensor, is_real: Tensor) -> Tensor:
            return self._sums_of(head(x_CD), codes, part, is_real, num_parts)

        lists = (features_TD, target.codes, target.part, target.is_real)
        total = features_TD.new_zeros(num_parts, 4, dtype=torch.float32)
        for chunk in zip(*(values.split(size) for values in lists)):
            total = total + checkpoint(sums, *chunk, use_reentrant=False, preserve_rng_state=False)
        return total

    def _sums_of(
        self, logits_TV: Tensor, codes: Tensor, part: Tensor, is_real: Tensor, num_parts: int
    ) -> Tensor:
        """(P, 4) for each part: loss, plain negative log-likelihood, right answers, count."""
        log_prob_TV = logits_TV.float().log_softmax(dim=-1)
        nll_T = F.nll_loss(log_prob_TV, codes, reduction="none")
        loss_T = nll_T
        if self.label_smoothing:
            loss_T = (1 - self.label_smoothing) * nll_T - self.label_smoothing * log_prob_TV.mean(dim=-1)
        with torch.no_grad():
            is_right_T = logits_TV.argmax(dim=-1) == codes
            weight_PT = is_real & (part == torch.arange(num_parts, device=part.device)[:, None])
            weight_PT = weight_PT.to(loss_T.dtype)
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
