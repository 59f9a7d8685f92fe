"""Stages are done once, continue after an interruption and never take a half-written result for whole."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from maskmm.cli.quickstart.stage import STAMPS, Stage, run_stages


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


class Work:
    """Two stages that count how often they run; the second goes on from its scratch file."""

    def __init__(self) -> None:
        self.runs: list[str] = []
        self.is_killed = False

    def first(self) -> None:
        self.runs.append("first")
        Path("first.txt").write_text("1")

    def second(self) -> None:
        steps = Path("steps.txt")
        done = int(steps.read_text()) if steps.exists() else 0
        self.runs.append(f"second from {done}")
        steps.write_text("3")
        if self.is_killed:
            raise KeyboardInterrupt
        Path("second.txt").write_text("2")

    def stages(self, first: int = 0, second: int = 0) -> list[Stage]:
        return [
            Stage("first", "First", {"value": first}, ("first.txt",), self.first),
            Stage("second", "Second", {"value": second}, ("second.txt",), self.second, ("steps.txt",)),
        ]


def test_stages_run_once() -> None:
    work = Work()
    before = run_stages(work.stages())
    assert run_stages(work.stages()) == before
    assert work.runs == ["first", "second from 0"]
    assert [receipt.num_starts for receipt in before] == [1, 1]


def test_other_settings_run_that_stage_and_those_after_anew() -> None:
    work = Work()
    run_stages(work.stages())
    run_stages(work.stages(second=1))
    assert work.runs == ["first", "second from 0", "second from 0"]
    run_stages(work.stages(first=1, second=1))
    assert work.runs[3:] == ["first", "second from 0"]


def test_a_missing_result_is_made_again() -> None:
    work = Work()
    run_stages(work.stages())
    Path("first.txt").unlink()
    run_stages(work.stages())
    assert work.runs == ["first", "second from 0", "first"]


def test_an_interrupted_stage_goes_on_from_its_scratch() -> None:
    work = Work()
    work.is_killed = True
    with pytest.raises(KeyboardInterrupt):
        run_stages(work.stages())
    assert not Path(STAMPS, "second.json").exists()
    work.is_killed = False
    receipts = run_stages(work.stages())
    assert work.runs == ["first", "second from 0", "second from 3"]
    assert receipts[1].num_starts == 2


def test_scratch_of_other_settings_is_not_gone_on_from() -> None:
    work = Work()
    work.is_killed = True
    with pytest.raises(KeyboardInterrupt):
        run_stages(work.stages())
    work.is_killed = False
    run_stages(work.stages(second=1))
    assert work.runs == ["first", "second from 0", "second from 0"]


def test_a_stage_without_its_result_is_a_defect() -> None:
    with pytest.raises(RuntimeError, match="never.txt"):
        run_stages([Stage("idle", "Idle", {}, ("never.txt",), lambda: None)])
    assert not Path(STAMPS, "idle.json").exists()


def test_a_process_killed_outright_leaves_that_it_had_started() -> None:
    work = Work()
    run_stages(work.stages())
    stamp = Path(STAMPS, "second.json")
    stamp.replace(Path(STAMPS, "second.begun.json"))
    assert run_stages(work.stages())[1].num_starts == 2
    assert json.loads(stamp.read_text())["num_starts"] == 2


def test_costs_of_an_interrupted_stage_add_up() -> None:
    work = Work()
    work.is_killed = True
    with pytest.raises(KeyboardInterrupt):
        run_stages(work.stages())
    before = json.loads(Path(STAMPS, "second.begun.json").read_text())["cost"]
    work.is_killed = False
    after = run_stages(work.stages())[1].cost
    assert after.wall_s > before["wall_s"] > 0 and after.peak_memory_bytes > 1_000_000


@pytest.mark.parametrize("content", ["", "{", "[1]", "{}"])
def test_a_damaged_stamp_is_named(content: str) -> None:
    work = Work()
    run_stages(work.stages())
    (Path(STAMPS) / "second.json").write_text(content)
    with pytest.raises(ValueError, match=r"second.json is damaged .*; delete it"):
        run_stages(work.stages())
    assert work.runs == ["first", "second from 0"]
