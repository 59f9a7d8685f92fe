"""Layouts: bounds, windows, what is shared between layers."""

from __future__ import annotations

import pytest
import torch

from maskmm.nn.layout import AttentionLayout
from tests.maskmm.nn.backends.cases import offsets


@pytest.mark.parametrize("lengths", [[4], [2, 4, 1]])
def test_a_configured_bound_is_held_to(lengths: list[int]) -> None:
    """Kernels that are told too small a bound leave rows out without a word."""
    cu = offsets(lengths)
    assert AttentionLayout.build(cu).longest == AttentionLayout.build(cu, max_length=4).longest == (4, 4)
    assert AttentionLayout.build(cu, max_length=9).longest == (9, 9)
    with pytest.raises(ValueError, match="4 rows, expected at most 3"):
        AttentionLayout.build(cu, max_length=3)
    with pytest.raises(ValueError, match="4 rows, expected at most 3"):
        AttentionLayout.build(offsets([1] * len(lengths)), cu, max_length=3)


def test_a_bound_is_held_to_in_a_graph() -> None:
    """Nothing is read from the device there, so the error is an assertion of the device."""

    @torch.compile(fullgraph=True, backend="eager")
    def build(cu: torch.Tensor) -> torch.Tensor:
        return AttentionLayout.build(cu, max_length=3).cu_q

    assert build(offsets([3, 1])).tolist() == [0, 3, 4]
    with pytest.raises(RuntimeError, match="more than 3 rows"):
        build(offsets([4, 1]))


def test_a_window_larger_than_the_budget() -> None:
    layout = AttentionLayout.build(offsets([3, 5]), max_length=8)
    assert layout.with_window(8).window == 8
    with pytest.raises(
        ValueError, match="window=9 is larger than the budget of max_length=8 rows a sample; use"
    ):
        layout.with_window(9)
    with pytest.raises(ValueError, match="window=9 is larger than the budget"):
        AttentionLayout.build(offsets([3]), max_length=8, window=9)
    assert (
        AttentionLayout.build(offsets([3]), window=9).window == 9
    )  # a short batch of a model with large windows


def test_bad_layouts() -> None:
    with pytest.raises(ValueError, match="different batches"):
        AttentionLayout.build(offsets([1]), offsets([1, 2]))
    with pytest.raises(ValueError, match="window=-1, expected None or at least 0"):
        AttentionLayout.build(offsets([1]), window=-1)


def test_layers_share_what_is_built() -> None:
    layout = AttentionLayout.build(offsets([4, 4]))
    local = layout.with_window(2)
    assert local.with_window(2) is local and layout.window is None
    assert layout.runs is local.runs is local.with_window(None).runs
    assert AttentionLayout.build(offsets([4, 4])).runs is not layout.runs


def test_self_attention_is_told_from_other_query_rows() -> None:
    cu = offsets([4])
    assert AttentionLayout.build(cu).is_self_attention and AttentionLayout.build(cu, cu).is_self_attention
    assert not AttentionLayout.build(offsets([1]), cu).is_self_attention
