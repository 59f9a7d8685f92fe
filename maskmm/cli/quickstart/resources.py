"""What a stage costs: wall time, CPU seconds and peak memory of this process."""

from __future__ import annotations

import os
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_CLEAR_REFS = Path("/proc/self/clear_refs")
_STATUS = Path("/proc/self/status")


@dataclass
class Cost:
    """What was spent.

    Attributes:
        wall_s: seconds on the clock.
        cpu_s: seconds of all threads and finished children together, user and system.
        peak_memory_bytes: largest resident size; where the system cannot start this count anew for a stage, the
            largest since the process began.
    """

    wall_s: float = 0.0
    cpu_s: float = 0.0
    peak_memory_bytes: int = 0

    def __add__(self, other: Cost) -> Cost:
        peak = max(self.peak_memory_bytes, other.peak_memory_bytes)
        return Cost(self.wall_s + other.wall_s, self.cpu_s + other.cpu_s, peak)


@contextmanager
def measured() -> Iterator[Cost]:
    """A cost that is filled in when the block ends, however it ends."""
    cost = Cost()
    _restart_peak()
    wall, cpu = time.perf_counter(), _cpu_seconds()
    try:
        yield cost
    finally:
        cost.wall_s, cost.cpu_s = time.perf_counter() - wall, _cpu_seconds() - cpu
        cost.peak_memory_bytes = peak_memory()


def peak_memory() -> int:
    """Largest resident size in bytes, since the last restart of the count."""
    if _STATUS.exists():
        for line in _STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _restart_peak() -> None:
    if os.access(_CLEAR_REFS, os.W_OK):
        _CLEAR_REFS.write_text("5")


def _cpu_seconds() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
