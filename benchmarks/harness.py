"""Paired timing of calls that do the same work: interleaved, rotating order, ratios within a round.

A case is timed only after its check has passed. Time is the process's CPU time on one thread, so that other
programs on the machine disturb it little. Numbers of two runs are never compared.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import multiprocessing
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import torch


@dataclass(frozen=True)
class Case:
    """`ours` and `peer` do the same work; `check` raises AssertionError where they do not agree.

    Attributes:
        goal: how many times as fast as the peer we want to be.
        work: what one call does, e.g. "4096 vectors".
    """

    name: str
    ours: Callable[[], object]
    peer: Callable[[], object]
    check: Callable[[], None]
    goal: float
    work: str


def _cpu_seconds(call: Callable[[], object], repeats: int) -> float:
    start = time.process_time()
    for _ in range(repeats):
        call()
    return (time.process_time() - start) / repeats


def _peak_mib(call: Callable[[], object]) -> float:
    """Growth of the resident set in one call, in a child that is forked for it (warm)."""

    def child(results: multiprocessing.SimpleQueue) -> None:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        call()
        results.put((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)

    # Memory that earlier calls have freed but not given back would hide the growth.
    ctypes.CDLL(None).malloc_trim(0)
    context = multiprocessing.get_context("fork")
    results = context.SimpleQueue()
    process = context.Process(target=child, args=(results,))
    process.start()
    process.join()
    return float(results.get())


def measure(case: Case, rounds: int, seconds: float) -> dict[str, object]:
    """One row: median [min, max] of the ratios of `rounds` rounds, each call repeated for about `seconds`."""
    case.check()
    calls = {"ours": case.ours, "peer": case.peer}
    repeats = {name: max(1, round(seconds / _cpu_seconds(call, 1))) for name, call in calls.items()}
    times: dict[str, list[float]] = {name: [] for name in calls}
    for index in range(rounds):
        for name in ("ours", "peer") if index % 2 else ("peer", "ours"):
            times[name].append(_cpu_seconds(calls[name], repeats[name]))
    ratios = [peer / ours for ours, peer in zip(times["ours"], times["peer"])]
    return {
        "case": case.name,
        "work": case.work,
        "ratio": statistics.median(ratios),
        "ratio_min": min(ratios),
        "ratio_max": max(ratios),
        "goal": case.goal,
        "is_reached": statistics.median(ratios) >= case.goal,
        "rounds": rounds,
        "ours_ms": 1e3 * statistics.median(times["ours"]),
        "peer_ms": 1e3 * statistics.median(times["peer"]),
        "ours_peak_mib": _peak_mib(case.ours),
        "peer_peak_mib": _peak_mib(case.peer),
    }


def _environment(packages: Iterable[str]) -> dict[str, str]:
    cpu = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    sha = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "hardware": f"{cpu[0].split(':')[1].strip() if cpu else platform.machine()}, one thread",
        "simd": torch.backends.cpu.get_cpu_capability(),
        "command": " ".join(["python -m", f"benchmarks.{Path(sys.argv[0]).stem}", *sys.argv[1:]]),
        "commit": sha.stdout.strip(),
    } | {package: version(package) for package in ("torch", *packages)}


def main(cases: Callable[[bool], Iterable[Case]], peers: Iterable[str]) -> None:
    """Command line of a benchmark: `--quick` for a smoke run, `--out FILE` for the JSON lines.

    Args:
        cases: called with True for the quick run.
        peers: packages whose versions are recorded.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="small sizes, few rounds")
    parser.add_argument("--out", type=Path, help="file that the JSON lines go to as well")
    options = parser.parse_args()
    torch.set_num_threads(1)
    environment = _environment(peers)
    lines = []
    for case in cases(options.quick):
        row = measure(case, 3 if options.quick else 9, 0.02 if options.quick else 0.15)
        lines.append(json.dumps(row | environment))
        print(lines[-1], flush=True)
    if options.out:
        options.out.write_text("\n".join(lines) + "\n")
