"""Packs of a token budget: like the naive twin, full, every draw once, the same from wherever a walk starts."""

from __future__ import annotations

import pickle
import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from datamodules.packs import PackCursor, PackPlan, fill_packs
from datamodules.plan import BatchPlan
from tests.reference import naive_packing
from tokenizers_vq.contract import Key, TokenBudget


class Lengths:
    """Rows of a draw: a hashed number between two bounds."""

    def __init__(self, low: int, high: int) -> None:
        self.low, self.high = low, high

    def __call__(self, draws: Tensor) -> Tensor:
        return self.low + Key(7).integers(self.high - self.low + 1, draws)


def plan_of(low: int = 10, high: int = 400, **changes: int) -> PackPlan:
    given = {"rows": 1024, "samples": 200, "num_samples": 70, "buffer": 128} | changes
    budget = TokenBudget(given["rows"], given["samples"])
    return PackPlan(BatchPlan(given["num_samples"], given["buffer"], seed=1), Lengths(low, high), budget)


@settings(deadline=None)
@given(
    lengths=st.lists(st.integers(1, 40), max_size=60),
    rows=st.integers(40, 120),
    samples=st.integers(1, 12),
)
def test_agrees_with_the_naive_twin(lengths: list[int], rows: int, samples: int) -> None:
    packs, left = fill_packs(lengths, TokenBudget(rows, samples))
    assert (packs, left) == naive_packing.fill_packs(lengths, rows, samples)
    assert sorted([i for pack in packs for i in pack] + left) == list(range(len(lengths)))
    assert all(sum(lengths[i] for i in pack) <= rows and 1 <= len(pack) <= samples for pack in packs)


@settings(deadline=None, max_examples=30)
@given(buffer=st.integers(1, 90), high=st.integers(1, 60), samples=st.integers(1, 9))
def test_a_run_agrees_with_the_naive_twin(buffer: int, high: int, samples: int) -> None:
    plan = plan_of(1, high, rows=60, buffer=buffer, samples=samples)
    length = plan.count_rows(torch.arange(4000)).tolist()
    expected = naive_packing.packs_of_run(length.__getitem__, buffer, 60, samples, 20)
    assert [plan.draws(pack).tolist() for pack in range(20)] == expected


@settings(deadline=None, max_examples=15)
@given(
    num_samples=st.integers(1, 300),
    bounds=st.sampled_from([(10, 400), (1, 64), (100, 500), (32, 512), (1, 200)]),
    buffer=st.sampled_from([64, 256, 1024]),
)
def test_every_sample_once_an_epoch_at_95_percent(
    num_samples: int, bounds: tuple[int, int], buffer: int
) -> None:
    plan = plan_of(*bounds, num_samples=num_samples, buffer=buffer)
    packs = [plan.draws(pack) for pack in range(40)]
    draws = torch.cat(packs)
    assert len(draws.unique()) == len(draws)
    # What is not packed yet waits: all earlier draws are packed or carried.
    waiting = set(plan.cursor(40).carried) | set(range(int(draws.max()) + 1)) - set(draws.tolist())
    num_epochs = (int(draws.max()) + 1) // num_samples
    whole = torch.cat([draws, torch.tensor(sorted(waiting), dtype=torch.int64)]).unique()
    for epoch in range(num_epochs):
        mine = whole[whole // num_samples == epoch]
        assert torch.equal(plan.plan.of_draws(mine).sort().values, torch.arange(num_samples))
    assert len(waiting) <= buffer + 2 * 1024 // bounds[0] + 1
    fill = sum(int(plan.count_rows(pack).sum()) for pack in packs) / (40 * 1024)
    assert fill >= 0.95


def test_samples_as_long_as_the_budget_still_fill_95_percent() -> None:
    plan = plan_of(1, 1024, buffer=1024)
    assert sum(int(plan.count_rows(plan.draws(pack)).sum()) for pack in range(1000)) / (1000 * 1024) >= 0.95


@pytest.mark.parametrize("order", [range(30), range(29, -1, -1), [7, 3, 29, 0, 7]])
def test_any_order_of_asking_gives_the_same_packs(order: list[int]) -> None:
    expected = [plan_of().draws(pack).tolist() for pack in range(30)]
    plan = plan_of()
    assert [plan.draws(pack).tolist() for pack in order] == [expected[pack] for pack in order]


@pytest.mark.parametrize("resumed_at", [0, 1, 17, 29])
def test_a_walk_goes_on_from_a_cursor(resumed_at: int) -> None:
    plan = plan_of()
    plan.draws(34)  # data loaders run ahead
    cursor = plan.cursor(resumed_at)
    assert cursor.pack <= resumed_at
    resumed = PackPlan(plan.plan, plan.count_rows, plan.budget, start=cursor)
    for pack in [*range(resumed_at, 30), 0]:
        assert torch.equal(resumed.draws(pack), plan_of().draws(pack))


def test_going_on_from_a_cursor_does_not_walk_from_the_start() -> None:
    asked = []

    class Counted(Lengths):
        def __call__(self, draws: Tensor) -> Tensor:
            asked.append(int(draws.min()))
            return super().__call__(draws)

    late = plan_of().cursor(400)
    plan = PackPlan(BatchPlan(70, 128, seed=1), Counted(10, 400), TokenBudget(1024, 200), start=late)
    plan.draws(401)
    assert late.buffer > 5 and len(asked) <= 2 and min(asked) >= (late.buffer - 1) * 128


def test_it_travels_to_workers() -> None:
    copied = pickle.loads(pickle.dumps(plan_of()))
    assert torch.equal(copied.draws(9), plan_of().draws(9))


def test_a_budget_of_too_few_samples_is_named_once(caplog: pytest.LogCaptureFixture) -> None:
    plan_of(10, 90, rows=1024, samples=200).draws(9)
    assert not caplog.records
    plan = plan_of(10, 90, rows=1024, samples=4)
    fill = sum(int(plan.count_rows(plan.draws(pack)).sum()) for pack in range(30)) / (30 * 1024)
    assert fill < 0.4
    (record,) = caplog.records
    assert re.fullmatch(
        r"packs of the token budget are \d\d % full: (\d+) of \1 have samples=4 before rows=1024; samples of \d\d rows "
        r"on average want budget.samples of \d\d and more",
        record.getMessage(),
    )


def test_a_sample_longer_than_the_budget_is_named() -> None:
    with pytest.raises(ValueError, match=r"sample of item \d+ has \d+ packed rows, the token budget 300"):
        plan_of(rows=300).draws(0)
    for bad in (0, 96.5):
        with pytest.raises(ValueError, match=f"rows={bad}, .*: expected whole numbers of at least 1"):
            TokenBudget(bad, 1)  # type: ignore[arg-type]
    assert PackCursor() == PackCursor(0, 0, ())
