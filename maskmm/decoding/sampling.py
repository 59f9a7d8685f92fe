"""Exact categorical sampling with one uniform number a row, by a two-level inverse distribution function.

Drawing Gumbel noise or torch.multinomial costs one random number for each code of the codebook and dominates masked
decoding on CPU; sums over blocks of codes and then a search inside one block cost little more than an argmax.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from maskmm.decoding.filters import LogitFilter


def sample_categorical(weights_TV: Tensor, uniform_T: Tensor) -> tuple[Tensor, Tensor]:
    """Draw one code a row with probability proportional to its weight.

    Args:
        weights_TV: (T, V) float32 of at least 0, with one positive in each row; they need not sum to 1.
        uniform_T: (T,) float64 in (0, 1).

    Returns:
        (T,) int64 codes (a code of weight 0 is never drawn) and (T,) float64 sums of the weights.
    """
    num_codes = weights_TV.shape[1]
    width = 1 << math.ceil(math.log2(max(num_codes, 1)) / 2)  # about sqrt(V): both levels cost the same
    if num_codes % width:  # padding by nothing would still copy
        weights_TV = F.pad(weights_TV, (0, -num_codes % width))
    blocks_TNK = weights_TV.unflatten(1, (-1, width))
    upto_TN = blocks_TNK.sum(dim=2).double().cumsum(dim=1)
    target_T1 = _below(uniform_T[:, None] * upto_TN[:, -1:], upto_TN[:, -1:])
    block_T1 = (upto_TN <= target_T1).sum(dim=1, keepdim=True)
    before_T1 = torch.where(block_T1 > 0, upto_TN.gather(1, (block_T1 - 1).clamp(min=0)), 0.0)
    inside_TK = blocks_TNK.take_along_dim(block_T1[:, :, None], dim=1).squeeze(1).double().cumsum(dim=1)
    rest_T1 = _below(target_T1 - before_T1, inside_TK[:, -1:])
    codes_T1 = (inside_TK <= rest_T1).sum(dim=1, keepdim=True) + block_T1 * width
    return codes_T1.squeeze(1), upto_TN[:, -1]


def _below(value: Tensor, bound: Tensor) -> Tensor:
    """Keep value strictly below bound, so that rounding cannot run past the last code of positive weight."""
    return torch.minimum(value, torch.nextafter(bound, torch.zeros_like(bound)))


def sample_codes(
    logits_TV: Tensor, uniform_T: Tensor, filters: Sequence[LogitFilter] = ()
) -> tuple[Tensor, Tensor]:
    """Sample codes from filtered logits, and say how sure the model itself was of them.

    Args:
        logits_TV: (T, V) floats.
        uniform_T: (T,) float64 in (0, 1).
        filters: applied in order before sampling (temperature, top-k, top-p).

    Returns:
        (T,) int64 codes and (T,) float32 log-probabilities under the untempered, unfiltered distribution.
    """
    logits_TV = logits_TV.float()
    filtered_TV = logits_TV
    for logit_filter in filters:
        filtered_TV = logit_filter(filtered_TV)
    weights_TV, top_T1 = _weights(filtered_TV)
    codes_T, total_T = sample_categorical(weights_TV, uniform_T)
    if filters:
        weights_TV, top_T1 = _weights(logits_TV)
        total_T = weights_TV.sum(dim=1)
    log_prob_T = (logits_TV.gather(1, codes_T[:, None]) - top_T1).squeeze(1) - total_T.log()
    return codes_T, log_prob_T.float()


def _weights(logits_TV: Tensor) -> tuple[Tensor, Tensor]:
    """Weights exp(logit - largest logit), and the largest logit (T, 1)."""
    top_T1 = logits_TV.amax(dim=1, keepdim=True)
    # In place after the first operation: these are the largest tensors of a decoding step.
    return (logits_TV - top_T1).exp_(), top_T1
