"""Mask schedules and the counts they give."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from maskmm.schedules import ArccosSchedule, CosineSchedule, LinearSchedule, MaskSchedule, num_masked
from tests.reference.naive_decoding import counts_after_each_step

SCHEDULES = [CosineSchedule(), LinearSchedule(), ArccosSchedule()]


class SteepSchedule(MaskSchedule):
    """A user's own, convex one: nearly all at the first step."""

    def _gamma(self, x: torch.Tensor) -> torch.Tensor:
        return (1 - x) ** 6


@pytest.mark.parametrize("schedule", [*SCHEDULES, SteepSchedule()], ids=repr)
def test_falls_from_one_to_zero(schedule: MaskSchedule) -> None:
    values = schedule(torch.linspace(0, 1, 101, dtype=torch.float64))
    assert values[0] == 1.0 and abs(values[-1]) < 1e-12
    assert bool((values.diff() < 0).all()) and bool((values >= 0).all())
    assert schedule(0.25) == pytest.approx(float(values[25]))


def test_known_values() -> None:
    assert CosineSchedule()(1 / 3) == pytest.approx(math.sqrt(3) / 2)
    assert ArccosSchedule()(0.5) == pytest.approx(2 / 3)
    assert LinearSchedule()(0.25) == 0.75


def test_arccos_inverts_cosine_and_has_its_mean() -> None:
    x = torch.linspace(0, 1, 20001, dtype=torch.float64)
    assert torch.allclose(ArccosSchedule()(CosineSchedule()(x)), x, atol=1e-7)
    for schedule in (CosineSchedule(), ArccosSchedule()):
        assert float(schedule(x).mean()) == pytest.approx(2 / math.pi, abs=1e-3)


def test_equal_schedules_compare_equal() -> None:
    assert CosineSchedule() == CosineSchedule() != LinearSchedule()
    assert len({CosineSchedule(), CosineSchedule()}) == 1


@pytest.mark.parametrize("x", [-0.1, 1.1, math.nan])
def test_refuses_floats_outside_the_unit_interval(x: float) -> None:
    with pytest.raises(ValueError, match="expected a share of the way from 0 to 1"):
        CosineSchedule()(x)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    st.sampled_from([*SCHEDULES, SteepSchedule()]),
    st.integers(1, 30),
    st.lists(st.integers(0, 300), min_size=1, max_size=4),
)
def test_counts_equal_the_naive_loop_and_always_fall(
    schedule: MaskSchedule, num_steps: int, unknown: list[int]
) -> None:
    counts = num_masked(schedule, num_steps, torch.tensor(unknown))
    assert counts.tolist() == [counts_after_each_step(schedule, num_steps, n) for n in unknown]
    for n, row in zip(unknown, counts.tolist()):
        steps = min(num_steps, n)
        assert row[0] == n and row[steps:] == [0] * (num_steps + 1 - steps)
        assert all(a > b for a, b in zip(row, row[1 : steps + 1]))


def test_counts_follow_the_number_unknown_at_the_start_not_the_grid() -> None:
    """A peer scaled by the 256 tokens of the grid: with 32 of them unknown, 17 fell to the last step."""
    counts = num_masked(CosineSchedule(), 16, torch.tensor([32]))[0]
    revealed = -counts.diff()
    assert int(revealed.min()) == 1 and int(revealed.max()) <= 4
    curve = [math.floor(32 * math.cos(math.pi / 2 * t / 16)) for t in range(1, 16)]
    assert counts[6:16].tolist() == curve[5:]  # before that, at least one slot a step is the stricter rule
    assert counts[1:6].tolist() == [31, 30, 29, 28, 27]


def test_floors_where_the_product_is_whole_despite_rounding() -> None:
    assert num_masked(LinearSchedule(), 10, torch.tensor([10]))[0].tolist() == list(range(10, -1, -1))


def test_refuses_no_steps() -> None:
    with pytest.raises(ValueError, match="num_steps=0, expected at least 1"):
        num_masked(CosineSchedule(), 0, torch.tensor([3]))
