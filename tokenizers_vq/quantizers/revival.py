"""Dead codes are put on latents of the batch, the same ones on every rank.

Zeghidour et al., "SoundStream" (2021), section III-C.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tokenizers_vq.contract import Key
from tokenizers_vq.quantizers.distributed import from_first_rank, sum_over_ranks
from tokenizers_vq.quantizers.kmeans import pick_rows
from tokenizers_vq.quantizers.usage import CodeUsage


@torch.no_grad()
def fresh_codes(
    x_ND: Tensor, weight_N: Tensor, codebook_KD: Tensor, usage: CodeUsage, key: Key
) -> tuple[Tensor, Tensor]:
    """The codebook with random rows of weight 1 in place of its dead codes, and which were dead (K,) bool.

    A batch without a row of weight 1 revives nothing. `usage` is told of the revived codes.
    """
    is_any_valid = sum_over_ranks(weight_N.sum()) > 0
    is_dead_K = usage.is_dead()[0] & is_any_valid
    rows_KD = pick_rows(x_ND, weight_N, codebook_KD.shape[0], key.fold("revive").at(usage.step))
    rows_KD = from_first_rank(rows_KD.contiguous())
    usage.revive(is_dead_K[None])
    return torch.where(is_dead_K[:, None], rows_KD, codebook_KD), is_dead_K
