"""Naive twin of the head and its loss: one row at a time, all of its logits."""

from __future__ import annotations

import torch
from torch import Tensor

from maskmm.masking.base import MaskedSequence
from maskmm.model import MaskedTransformer


def naive_sums(
    model: MaskedTransformer, batch: MaskedSequence, label_smoothing: float
) -> dict[str, tuple[Tensor, float, int, int]]:
    """ "modality/codebook/part" -> loss, negative log-likelihood, right answers, count."""
    features = model.forward_features(batch.inputs)
    sums: dict[str, tuple[Tensor, float, int, int]] = {}
    for target in batch.target_rows:
        for row, code, part, is_real in zip(target.rows, target.codes, target.part, target.is_real):
            if not is_real:
                continue
            logits = model.logits(features[row][None], target.name, target.codebook)[0]
            log_prob = torch.stack([x - logits.logsumexp(0) for x in logits])
            loss = -(1 - label_smoothing) * log_prob[code] - label_smoothing * log_prob.mean()
            name = f"{target.name}/{target.codebook}/{batch.part_names[int(part)]}"
            total, nll, num_right, count = sums.get(name, (torch.zeros(()), 0.0, 0, 0))
            is_right = int(logits.argmax() == code)
            sums[name] = total + loss, nll - float(log_prob[code].detach()), num_right + is_right, count + 1
    return sums
