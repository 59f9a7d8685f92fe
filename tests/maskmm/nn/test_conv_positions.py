"""Convolutional positions: the two ways through a pack agree, and samples stay apart."""

from __future__ import annotations

import pytest
import torch

from maskmm.nn.conv_positions import ConvPositions
from maskmm.nn.layout import AttentionLayout


@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("lengths", [[1], [5, 5, 2], [0, 3, 0, 0, 7, 1], [4, 0]], ids=str)
def test_gaps_are_runs(kernel: int, lengths: list[int]) -> None:
    torch.manual_seed(0)
    conv = ConvPositions(6, kernel, 2).double()
    x = torch.randn(sum(lengths), 6, dtype=torch.float64, requires_grad=True)
    layout = AttentionLayout.build(torch.tensor([0, *torch.tensor(lengths).cumsum(0).tolist()]))
    found, wanted = conv._with_gaps(x, layout), conv._run_by_run(x, layout)
    torch.testing.assert_close(found, wanted)
    leaves = [x, *conv.parameters()]
    for got, want in zip(
        torch.autograd.grad(found.square().sum(), leaves), torch.autograd.grad(wanted.square().sum(), leaves)
    ):
        torch.testing.assert_close(got, want)


def test_rows_that_no_sample_owns_reach_none() -> None:
    conv = ConvPositions(4, 4, 1)
    x, layout = torch.randn(9, 4), AttentionLayout.build(torch.tensor([0, 3, 6]))
    moved = x.clone()
    moved[6:] += 1
    assert torch.equal(conv._with_gaps(x, layout)[:6], conv._with_gaps(moved, layout)[:6])
