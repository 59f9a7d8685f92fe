"""Operations that a floor counts."""

import pytest
import torch
from torch import nn

from benchmarks.work import lengths_of, trunk_flops


@pytest.mark.parametrize("window", [None, 0, 1, 5, 100])
def test_operations_of_a_trunk_are_those_of_a_loop_over_pairs(window):
    width, lengths = 8, [1, 0, 6, 13]
    blocks = nn.ModuleList(nn.Linear(width, 3 * width) for _ in range(2))
    pairs = sum(
        1 for n in lengths for a in range(n) for b in range(n) if window is None or abs(a - b) <= window
    )
    weights = 2.0 * 2 * 3 * width * width * sum(lengths)
    given = None if window is None else [window, None]
    far = sum(n * n for n in lengths)
    wanted = weights + 4.0 * width * (pairs + far)
    assert trunk_flops(blocks, width, lengths, False, given) == pytest.approx(wanted)
    assert trunk_flops(blocks, width, lengths, True, given) == pytest.approx(3 * wanted)


def test_lengths_fill_a_padded_batch_to_the_share_asked():
    lengths = lengths_of(64, 512, 0.4)
    assert max(lengths) == 512 and min(lengths) >= 1
    assert sum(lengths) / (64 * 512) == pytest.approx(0.4, abs=0.01)
    assert torch.equal(torch.tensor(lengths), torch.tensor(lengths_of(64, 512, 0.4)))
