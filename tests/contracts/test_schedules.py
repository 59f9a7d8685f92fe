"""Every mask schedule: falls from 1 to 0, alike for floats and tensors, and gives counts that always fall."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from maskmm.schedules import ArccosSchedule, CosineSchedule, LinearSchedule, MaskSchedule, num_masked
from tests.contracts.discovery import subclasses
from tests.contracts.random_batches import QUICK

EXAMPLES: dict[type, list[MaskSchedule]] = {
    CosineSchedule: [CosineSchedule()],
    LinearSchedule: [LinearSchedule()],
    ArccosSchedule: [ArccosSchedule()],
}
ALL = pytest.mark.parametrize("schedule", [e for es in EXAMPLES.values() for e in es], ids=repr)


def test_every_schedule_has_an_example() -> None:
    assert subclasses(MaskSchedule) == set(EXAMPLES)


@ALL
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_it_falls_from_one_to_zero(schedule: MaskSchedule, dtype: torch.dtype) -> None:
    values = schedule(torch.linspace(0, 1, 101, dtype=dtype))
    assert values.dtype == dtype
    assert float(values[0]) == pytest.approx(1.0) and float(values[-1]) == pytest.approx(0.0, abs=1e-6)
    assert bool((values.diff() < 0).all()) and bool((values >= 0).all()) and bool((values <= 1).all())


@ALL
def test_floats_and_tensors_agree(schedule: MaskSchedule) -> None:
    x = torch.linspace(0, 1, 11, dtype=torch.float64)
    values = schedule(x.reshape(1, 11))
    assert isinstance(values, torch.Tensor) and values.shape == (1, 11)
    assert values[0].tolist() == pytest.approx([schedule(float(one)) for one in x])


@ALL
def test_copies_are_equal(schedule: MaskSchedule) -> None:
    again = copy.deepcopy(schedule)
    assert again == schedule and hash(again) == hash(schedule)
    assert schedule != object()


@ALL
@QUICK
@given(st.integers(1, 40), st.lists(st.integers(0, 500), min_size=1, max_size=4))
def test_every_step_has_work_and_the_last_leaves_nothing(
    schedule: MaskSchedule, num_steps: int, unknown: list[int]
) -> None:
    for start, counts in zip(unknown, num_masked(schedule, num_steps, torch.tensor(unknown)).tolist()):
        steps = min(num_steps, start)
        assert counts[0] == start and counts[steps:] == [0] * (num_steps + 1 - steps)
        assert all(before > after for before, after in zip(counts, counts[1 : steps + 1]))
