"""Lloyd's k-means (1982), and its spherical form for cosine codebooks: the start of a codebook."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tokenizers_vq.contract import Key
from tokenizers_vq.quantizers.distributed import from_first_rank, sum_over_ranks
from tokenizers_vq.quantizers.lookup import nearest_code


def pick_rows(x_ND: Tensor, weight_N: Tensor, count: int, key: Key) -> Tensor:
    """`count` random rows of x_ND among those of weight 1, with replacement; the same rows for the same key."""
    filled_N = weight_N.cumsum(0)
    draw = key.uniform(torch.arange(count, device=x_ND.device)) * filled_N[-1]
    index = torch.searchsorted(filled_N, draw.floor().to(filled_N.dtype) + 1)
    return x_ND[index.clamp_(max=x_ND.shape[0] - 1)]


def kmeans(
    x_ND: Tensor,
    weight_N: Tensor,
    num_codes: int,
    key: Key,
    num_iterations: int = 10,
    is_spherical: bool = False,
) -> Tensor:
    """Centres (num_codes, D) of the rows of weight 1, over all ranks.

    Centres start at random rows, all different while there are enough of them; an empty centre stays where it is.

    Args:
        x_ND: vectors, float32.
        weight_N: float32, 1 for rows that count, 0 for padding.
        num_codes: number of centres.
        key: decides the start.
        num_iterations: Lloyd iterations.
        is_spherical: centres are brought to unit length after each iteration, for vectors of unit length.
    """
    # Rows of weight 1 first, in hashed order: a permutation without replacement.
    order = key.uniform(torch.arange(x_ND.shape[0], device=x_ND.device)) - weight_N
    start = order.argsort()[:num_codes]
    centres_KD = x_ND[start]
    # Where rows are too few, or padding was drawn, the rest are repeats of real rows.
    repeats_KD = pick_rows(x_ND, weight_N, num_codes, key.fold("repeat"))
    is_padding = torch.ones(num_codes, dtype=torch.bool, device=x_ND.device)
    is_padding[: start.shape[0]] = weight_N[start] == 0
    centres_KD = torch.cat([centres_KD, repeats_KD[start.shape[0] :]])
    centres_KD = from_first_rank(torch.where(is_padding[:, None], repeats_KD, centres_KD))
    for _ in range(num_iterations):
        codes_N = nearest_code(x_ND, centres_KD)
        count_K = sum_over_ranks(x_ND.new_zeros(num_codes).index_add_(0, codes_N, weight_N))
        sum_KD = x_ND.new_zeros(num_codes, x_ND.shape[1]).index_add_(0, codes_N, x_ND * weight_N[:, None])
        mean_KD = sum_over_ranks(sum_KD) / count_K.clamp(min=1)[:, None]
        if is_spherical:
            mean_KD = nn.functional.normalize(mean_KD, dim=1)
        centres_KD = torch.where(count_K[:, None] > 0, mean_KD, centres_KD)
    return centres_KD
