import pytest

from benchmarks.clock import Clock
from benchmarks.harness import Case, Plan, Skipped, summary
from benchmarks.table import render

ONCE = Plan(Clock("cpu"), rounds=1, seconds=0.0)


def never():
    pytest.fail("timed before the check has passed")


def test_a_case_that_does_not_agree_is_not_timed():
    def check():
        raise AssertionError("3 codes differ")

    with pytest.raises(AssertionError, match="3 codes differ"):
        Case("lookup", never, never, check, 1.0, "nothing").measure(ONCE)


def test_calls_are_interleaved_in_rotating_order_and_rendered():
    order = []
    case = Case("sums", lambda: order.append("a"), lambda: order.append("b"), lambda: None, 0.0, "an append")
    row = case.measure(Plan(Clock("cpu"), rounds=4, seconds=0.0))
    assert order == list("ab") + list("ba") + list("ab") + list("ba") + list("ab")
    assert row["value_min"] <= row["value"] <= row["value_max"]
    assert row["is_reached"]
    skipped = Skipped("nested", "no such package").measure(ONCE)
    table = render([row | {"torch": "2"}, skipped | {"torch": "2"}])
    assert "* torch: 2\n" in table
    assert "| sums | an append |" in table
    assert "* nested: skipped, no such package" in table


def test_gates_are_lower_bounds_of_ratios_and_upper_bounds_of_costs():
    assert summary("a", "", "times as fast", [2.5], 3.0, 2.3)["is_gate_kept"]
    assert not summary("a", "", "times as fast", [2.2], 3.0, 2.3)["is_gate_kept"]
    cost = summary("a", "", "ms a step", [1.5], 1.2, 2.0)
    assert cost["is_gate_kept"]
    assert not cost["is_reached"]
