"""Places inside groups against sorted lists."""

from __future__ import annotations

import pytest
import torch

from maskmm.ranking import rank_within, sum_before


@pytest.mark.parametrize("count", [0, 1, 40])
def test_ranks_and_sums_are_those_of_sorted_lists(count: int) -> None:
    generator = torch.Generator().manual_seed(count)
    group, size = (torch.randint(4, (count,), generator=generator) for _ in range(2))
    score = torch.randint(6, (count,), generator=generator) / 6  # with ties
    ranks, sums = [0] * count, [0] * count
    for number in range(4):
        mine = [i for i in range(count) if group[i] == number]
        done = 0
        for rank, i in enumerate(sorted(mine, key=lambda i: float(score[i]))):
            ranks[i], sums[i] = rank, done
            done += int(size[i])
    assert rank_within(group, score).tolist() == ranks
    assert sum_before(group, score, size).tolist() == sums
    assert torch.equal(sum_before(group, score, torch.ones_like(size)), rank_within(group, score))
