import json
import os
import sys
from dataclasses import replace

import pytest

import benchmarks.all
from benchmarks.clock import Clock
from benchmarks.harness import Case, Plan, Skipped, run, summary
from benchmarks.peaks import added_mib
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
    timed = list("ab") + list("ba") + list("ab") + list("ba") + list("ab")
    assert order == timed
    order.clear()
    replace(case, is_compiled=True).measure(Plan(Clock("cpu"), rounds=4, seconds=0.0))
    assert order == [*"ab", *timed], "what compiles is not timed"
    assert row["value_min"] <= row["value"] <= row["value_max"]
    assert row["is_reached"]
    skipped = Skipped("nested", "no such package").measure(ONCE)
    table = render([row | {"torch": "2"}, skipped | {"torch": "2"}])
    assert "* torch: 2\n" in table
    assert "| sums | an append |" in table
    assert "* nested: skipped, no such package" in table


def test_a_lost_gate_is_measured_again_in_more_rounds(tmp_path, monkeypatch):
    measured = []

    def measure(case, plan):
        measured.append(plan.rounds)
        return {"case": case.name, "is_gate_kept": plan.rounds > 3}

    monkeypatch.setattr(Case, "measure", measure)
    case = Case("noisy", never, never, never, 1.0, "nothing", gate=1.0)
    status, (row,) = run_cases([case], tmp_path, monkeypatch, "--gates")
    assert (status, measured) == (0, [3, 9]) and row["is_gate_kept"]
    assert run_cases([case], tmp_path, monkeypatch)[0] == 0 and measured == [3, 9, 3]


def test_a_gate_whose_peer_is_missing_is_not_kept(tmp_path, monkeypatch):
    kept = Case("fine", lambda: 0, lambda: 0, lambda: None, 0.0, "nothing", gate=0.0)
    unwatched = Case("unwatched", never, never, never, 0.0, "nothing")
    skipped = Skipped("encoder", "transformers does not import", gate=1.0)
    status, rows = run_cases([skipped, kept, unwatched], tmp_path, monkeypatch, "--gates")
    assert status == 1 and [row["case"] for row in rows] == ["encoder", "fine"]
    others = [Skipped("nested", "no such package"), kept, unwatched]
    assert run_cases(others, tmp_path, monkeypatch, "--gates")[0] == 0


def test_what_a_check_finds_is_in_the_row():
    case = Case("sums", lambda: 0, lambda: 0, lambda: {"largest_difference": 1e-6}, 0.0, "nothing")
    assert case.measure(ONCE)["largest_difference"] == 1e-6


def test_gates_are_lower_bounds_of_ratios_and_upper_bounds_of_costs():
    assert summary("a", "", "times as fast", [2.5], 3.0, 2.3)["is_gate_kept"]
    assert not summary("a", "", "times as fast", [2.2], 3.0, 2.3)["is_gate_kept"]
    cost = summary("a", "", "ms a step", [1.5], 1.2, 2.0)
    assert cost["is_gate_kept"]
    assert not cost["is_reached"]


def fails():
    raise AssertionError("3 codes\n  differ")


def run_cases(cases, folder, monkeypatch, *options):
    """Exit status and rows of the command line with these cases."""
    out = folder / "rows.jsonl"
    monkeypatch.setattr(sys, "argv", ["benchmarks/sums.py", "--quick", "--out", str(out), *options])
    status = run([(lambda is_quick: cases, ["torch"])])
    return status, [json.loads(line) for line in out.read_text().splitlines()]


def test_a_check_that_fails_costs_its_own_row_alone(tmp_path, monkeypatch):
    quiet = Case("fine", lambda: 0, lambda: 0, lambda: None, 0.0, "nothing")
    cases = [Case("broken", never, never, fails, 1.0, "nothing"), Skipped("nested", "no such package"), quiet]
    status, (broken, skipped, fine) = run_cases(cases, tmp_path, monkeypatch)
    assert status == 1
    assert broken["failed"] == "3 codes differ" and "value" not in broken
    assert skipped["skipped"] == "no such package" and fine["is_reached"]
    assert {"cpu_flags", "commit", "torch", "command", "date"} <= set(fine)
    assert "* broken: failed, 3 codes differ" in render([broken, skipped, fine])
    assert run_cases(cases[1:], tmp_path, monkeypatch)[0] == 0


def test_a_name_that_no_case_has_is_no_success(tmp_path, monkeypatch, capsys):
    quiet = Case("fine", lambda: 0, lambda: 0, lambda: None, 0.0, "nothing")
    assert run_cases([quiet], tmp_path, monkeypatch, "--only", "d1024")[0] == 1
    assert "d1024" in capsys.readouterr().err


def test_a_gate_that_is_not_kept_fails_the_run_with_gates_alone(tmp_path, monkeypatch):
    lost = Case("slow", lambda: 0, lambda: 0, lambda: None, 0.0, "nothing", gate=1e9)
    assert run_cases([lost], tmp_path, monkeypatch)[0] == 0
    assert run_cases([lost], tmp_path, monkeypatch, "--gates")[0] == 1


def test_a_child_that_dies_does_not_leave_its_parent_waiting():
    with pytest.raises(RuntimeError, match="status 7"):
        added_mib(lambda: os._exit(7))


def test_a_peer_that_does_not_import_is_a_row_with_the_reason(monkeypatch):
    monkeypatch.setitem(benchmarks.all._THEMES, "encoder", ("no_such_peer",))
    (row,) = benchmarks.all._cases("encoder")(True)
    assert isinstance(row, Skipped) and "no_such_peer" in row.reason and row.gate is not None
