import pytest

from benchmarks.harness import Case, measure
from benchmarks.table import render


def never():
    pytest.fail("timed before the check has passed")


def test_a_case_that_does_not_agree_is_not_timed():
    def check():
        raise AssertionError("3 codes differ")

    with pytest.raises(AssertionError, match="3 codes differ"):
        measure(Case("lookup", never, never, check, 1.0, "nothing"), rounds=1, seconds=0.0)


def test_calls_are_interleaved_in_rotating_order_and_rendered():
    order = []
    case = Case("sums", lambda: order.append("a"), lambda: order.append("b"), lambda: None, 0.0, "an append")
    row = measure(case, rounds=4, seconds=0.0)
    assert order == list("ab") + list("ba") + list("ab") + list("ba") + list("ab")
    assert row["ratio_min"] <= row["ratio"] <= row["ratio_max"]
    assert row["is_reached"]
    table = render([row | {"torch": "2"}])
    assert "* torch: 2\n" in table
    assert "| sums | an append |" in table
