"""Merges of a corpus of code grids, the most frequent pair first."""

from __future__ import annotations

import logging

import torch
from torch import Tensor

from tokenizers_vq.visual_bpe.counting import PairCounts
from tokenizers_vq.visual_bpe.merges import DOWN, NOTHING, Merges, merge, neighbours

_log = logging.getLogger(__name__)


def learn_merges(grids: Tensor, num_codes: int, num_merges: int, min_count: int = 2) -> Merges:
    """Join the most frequent pair of neighbours, right or below, again and again.

    The plan is that of "From Pixels to Tokens" (Zhang et al., ICLR 2025; Being-VL), on rectangles: two tokens are
    neighbours where they share a whole edge. In a run of equal tokens every adjacent pair counts. Of pairs that are
    equally frequent the one to the right comes first, then that of smaller tokens: the same grids always give the
    same merges.

    Args:
        grids: (B, H, W) integers from 0 to num_codes - 1.
        num_codes: see above.
        num_merges: most merges to learn.
        min_count: stop where no pair is as frequent as this.

    Raises:
        ValueError: no grids, codes out of range, or numbers below 1.
    """
    if num_merges < 1 or min_count < 1:
        raise ValueError(f"num_merges={num_merges}, min_count={min_count}: expected at least 1")
    if grids.ndim != 3 or grids.numel() == 0 or grids.is_floating_point():
        raise ValueError(
            f"grids of shape {tuple(grids.shape)} and {grids.dtype}, expected (B, H, W) integers"
        )
    low, high = (int(value) for value in torch.aminmax(grids))
    if low < 0 or high >= num_codes:
        raise ValueError(f"codes from {low} to {high}, expected 0 to {num_codes - 1}")
    size = grids.shape[1], grids.shape[2]
    tokens_BN = grids.long().cpu().flatten(1).clone()
    num_tokens = num_codes + num_merges
    high_of, wide_of = torch.ones(2, num_tokens, dtype=torch.int64)
    table: list[tuple[int, int, int]] = []
    keys_BDN, neighbour_BDN = neighbours(tokens_BN, size, (high_of, wide_of), num_tokens)
    counts = PairCounts(keys_BDN, NOTHING)
    for token in range(num_codes, num_tokens):
        best, count = counts.most_frequent()
        if count < min_count:
            _log.info(
                "no pair is left that occurs %d times: %d merges of %d", min_count, len(table), num_merges
            )
            break
        rest, second = divmod(best, num_tokens)
        direction, first = divmod(rest, num_tokens)
        table.append((first, second, direction))
        high_of[token] = high_of[first] + (high_of[second] if direction == DOWN else 0)
        wide_of[token] = wide_of[first] + (0 if direction == DOWN else wide_of[second])
        changed = (keys_BDN == best).flatten(1).any(1).nonzero()[:, 0]
        while len(changed):
            before, now_BN = keys_BDN[changed], tokens_BN[changed]
            merge(now_BN, before == best, neighbour_BDN[changed], torch.full((len(changed),), token))
            after, cells = neighbours(now_BN, size, (high_of, wide_of), num_tokens)
            is_other = before != after
            counts.add(before[is_other], -1)
            counts.add(after[is_other])
            tokens_BN[changed], keys_BDN[changed], neighbour_BDN[changed] = now_BN, after, cells
            changed = changed[(after == best).flatten(1).any(1)]
    return Merges(num_codes, torch.tensor(table, dtype=torch.int64).reshape(-1, 3))
