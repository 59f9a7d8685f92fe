"""Temperature, top-k and top-p."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from maskmm.decoding import Temperature, TopK, TopP


def kept(logits: Tensor) -> list[list[int]]:
    return [row.isfinite().nonzero().flatten().tolist() for row in logits]


LOGITS = torch.tensor([[0.5, 0.3, 0.15, 0.05], [0.1, 0.1, 0.1, 0.7]]).log()


def test_top_k_keeps_exactly_k_also_among_equals() -> None:
    assert kept(TopK(2)(LOGITS))[0] == [0, 1]
    assert [len(row) for row in kept(TopK(2)(torch.zeros(3, 6)))] == [2, 2, 2]
    assert TopK(9)(LOGITS) is LOGITS


def test_top_p_keeps_the_smallest_set_that_reaches_p() -> None:
    assert kept(TopP(0.79)(LOGITS)) == [[0, 1], [0, 3]]
    assert kept(TopP(0.81)(LOGITS))[0] == [0, 1, 2]
    assert kept(TopP(1e-9)(LOGITS)) == [[0], [3]]
    assert TopP(1.0)(LOGITS) is LOGITS


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(1, 20), st.floats(0.01, 1.0), st.integers(0, 2**31))
def test_top_p_equals_a_loop(num_codes: int, p: float, seed: int) -> None:
    logits = 2 * torch.randn(3, num_codes, generator=torch.Generator().manual_seed(seed))
    for row, filtered in zip(logits.double(), TopP(p)(logits.double())):
        expected, total = set(), 0.0
        for code in row.argsort(descending=True).tolist():
            if not expected or total < p:
                expected.add(code)
            total += float(row.softmax(0)[code])
        assert set(filtered.isfinite().nonzero().flatten().tolist()) == expected
        assert bool((filtered[filtered.isfinite()] == row[filtered.isfinite()]).all())


def test_filters_compose_in_order() -> None:
    assert kept(TopP(0.9)(TopK(2)(LOGITS)))[0] == [0, 1]
    assert kept(TopP(0.8)(Temperature(0.25)(LOGITS)))[0] == [0]


@pytest.mark.parametrize("bad", [-0.1, math.inf, math.nan])
def test_bad_temperature(bad: float) -> None:
    with pytest.raises(ValueError, match=f"temperature={bad}, expected 0"):
        Temperature(bad)


@pytest.mark.parametrize("bad", [0.0, -0.1, 1.1, math.nan])
def test_bad_top_p(bad: float) -> None:
    with pytest.raises(ValueError, match=f"top_p={bad}, expected"):
        TopP(bad)


def test_bad_top_k() -> None:
    with pytest.raises(ValueError, match="top_k=0, expected at least 1"):
        TopK(0)
