"""Paired measurement of calls that do the same work: interleaved, rotating order, ratios within a round.

Nothing is measured before its check has passed. Numbers of two runs are never compared. Two modes: the process's CPU
time on one thread, which other programs on the machine disturb little, and wall time on all cores with a gate that
takes a measurement again while others are busy.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import torch

from benchmarks.clock import Clock, gemm_gflops
from benchmarks.environment import environment
from benchmarks.peaks import added_mib

Row = dict[str, Any]
_ROUNDS, _SECONDS = 9, 0.15
_LONGEST = 20.0  # seconds of a case beyond which rounds are left out


@dataclass(frozen=True)
class Plan:
    """How thoroughly a run measures.

    Attributes:
        clock: what is read.
        rounds: most rounds of a case; long ones have fewer, though never under three.
        seconds: about how long one call is repeated in a round.
        has_peaks: whether the memory of the calls is measured too.
    """

    clock: Clock
    rounds: int
    seconds: float
    has_peaks: bool = False

    def rounds_of(self, seconds: float) -> int:
        """Rounds of a case whose calls take this long together."""
        return min(self.rounds, max(3, round(_LONGEST / max(seconds, 1e-9))))


class Measurable(Protocol):
    """Anything a theme yields."""

    @property
    def name(self) -> str: ...

    @property
    def gate(self) -> float | None:
        """What continuous integration keeps; None = nothing."""
        ...

    def measure(self, plan: Plan) -> Row: ...


@dataclass(frozen=True)
class Case:
    """`ours` and `peer` do the same work.

    Attributes:
        check: raises AssertionError where they do not agree; what it returns are columns of the row.
        goal: how many times as fast as the peer we want to be.
        work: what one call does, e.g. "4096 vectors".
        gate: ratio under which continuous integration fails; None = not watched.
        flops: operations of one of our calls that no implementation can leave out, for the share of the floor.
        is_compiled: the first calls compile, and are not timed; a process that has compiled cannot be forked, as
            measuring memory wants.
    """

    name: str
    ours: Callable[[], object]
    peer: Callable[[], object]
    check: Callable[[], Row | None]
    goal: float
    work: str
    gate: float | None = None
    flops: float | None = None
    is_compiled: bool = False

    def measure(self, plan: Plan) -> Row:
        """Median [min, max] of the rounds' ratios."""
        found = self.check() or {}
        clock, calls = plan.clock, {"ours": self.ours, "peer": self.peer}
        for call in calls.values() if self.is_compiled else ():
            call()
        once = {name: clock.seconds(call, 1) for name, call in calls.items()}
        repeats = {name: max(1, round(plan.seconds / seconds)) for name, seconds in once.items()}
        times: dict[str, list[float]] = {name: [] for name in calls}
        for index in range(plan.rounds_of(sum(max(plan.seconds, seconds) for seconds in once.values()))):
            for name in ("ours", "peer") if index % 2 else ("peer", "ours"):
                times[name].append(clock.seconds(calls[name], repeats[name]))
        ratios = [peer / ours for ours, peer in zip(times["ours"], times["peer"])]
        seconds = statistics.median(times["ours"])
        row = summary(self.name, self.work, "times as fast", ratios, self.goal, self.gate) | {
            "ours_ms": 1e3 * seconds,
            "peer_ms": 1e3 * statistics.median(times["peer"]),
            "floor_share": None,
        }
        if self.flops is not None:
            row["floor_share"] = self.flops / seconds / 1e9 / gemm_gflops(clock)
        # A fork of a process with several busy threads may hang.
        is_forked = plan.has_peaks and not self.is_compiled and clock.threads == 1
        return (
            row
            | found
            | {f"{name}_peak_mib": added_mib(call) if is_forked else None for name, call in calls.items()}
        )


@dataclass(frozen=True)
class Skipped:
    """A case that cannot run here, and why.

    Attributes:
        gate: anything but None where continuous integration would have watched it.
    """

    name: str
    reason: str
    gate: float | None = None

    def measure(self, plan: Plan) -> Row:
        """The reason."""
        return {"case": self.name, "skipped": self.reason}


def summary(name: str, work: str, unit: str, values: list[float], goal: float, gate: float | None) -> Row:
    """The columns that every measured row has; larger values are better unless the unit is "ms"."""
    median, is_cost = statistics.median(values), unit.startswith("ms")
    row: Row = {
        "case": name,
        "work": work,
        "unit": unit,
        "value": median,
        "value_min": min(values),
        "value_max": max(values),
        "goal": goal,
        "is_reached": median <= goal if is_cost else median >= goal,
        "rounds": len(values),
    }
    if gate is not None:
        row |= {"gate": gate, "is_gate_kept": median <= gate if is_cost else median >= gate}
    return row


def run(themes: Iterable[tuple[Callable[[bool], Iterable[Measurable]], Iterable[str]]]) -> int:
    """Command line of benchmarks.

    Args:
        themes: for each, its cases (called with True for the quick run) and the packages whose versions are recorded.

    Returns:
        exit status: 1 where a check failed, a gate was not kept or could not be measured, or no case has the name that
        was asked for.
    """
    options = _parse()
    clock = Clock(options.mode)
    plan = Plan(clock, 3, 0.02) if options.quick else Plan(clock, _ROUNDS, _SECONDS, has_peaks=True)
    torch.set_num_threads(clock.threads)
    out = options.out.open("w") if options.out else None
    rows: list[Row] = []
    for cases, packages in themes:
        shared = environment(clock, packages)
        for case in cases(options.quick):
            if (options.gates and case.gate is None) or options.only not in case.name:
                continue
            rows.append(_measured(case, plan))
            if options.gates and not rows[-1].get("is_gate_kept", True):
                # Other programs may have been in the way of a few short rounds.
                rows[-1] = _measured(case, replace(plan, rounds=_ROUNDS, seconds=_SECONDS))
            line = json.dumps(rows[-1] | shared)
            print(line, flush=True)
            if out is not None:
                out.write(line + "\n")
                out.flush()
    if out is not None:
        out.close()
    if not rows:
        print(f"no case is named {options.only!r}", file=sys.stderr)
    is_gate_lost = options.gates and not all(row.get("is_gate_kept") for row in rows)
    return 1 if is_gate_lost or not rows or any("failed" in row for row in rows) else 0


def _measured(case: Measurable, plan: Plan) -> Row:
    """The row of a case; one whose check fails says so without a number, and the cases after it are still measured."""
    try:
        return case.measure(plan)
    except AssertionError as error:
        return {"case": case.name, "failed": " ".join(str(error).split())}


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="small sizes, few rounds")
    parser.add_argument(
        "--mode", choices=["cpu", "wall"], default="cpu", help="CPU time of one thread, or wall time"
    )
    parser.add_argument(
        "--gates", action="store_true", help="only what is watched; exit status 1 where a gate fails"
    )
    parser.add_argument("--only", default="", help="cases whose names contain this")
    parser.add_argument("--out", type=Path, help="file that the JSON lines go to as well")
    return parser.parse_args()


def main(cases: Callable[[bool], Iterable[Measurable]], packages: Iterable[str] = ()) -> None:
    """Command line of one theme."""
    sys.exit(run([(cases, packages)]))
