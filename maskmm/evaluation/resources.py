"""What a run cost: wall time, CPU seconds, peak memory."""

from __future__ import annotations

import resource
import sys
import time
from dataclasses import dataclass

from maskmm.evaluation.scores import Score

_RSS_UNIT = 1 if sys.platform == "darwin" else 1024  # ru_maxrss: bytes there, KiB on Linux


@dataclass(frozen=True)
class Usage:
    """Cost of a run.

    Attributes:
        wall_s: seconds on the clock.
        cpu_s: seconds of processor time, children that have ended included.
        peak_bytes: largest resident memory of the process, and of its largest child that has ended, added up.
    """

    wall_s: float
    cpu_s: float
    peak_bytes: int

    def then(self, later: Usage) -> Usage:
        """Cost of two runs, one after the other (an interrupted run and its continuation)."""
        return Usage(
            self.wall_s + later.wall_s, self.cpu_s + later.cpu_s, max(self.peak_bytes, later.peak_bytes)
        )

    def scores(self, seeds: tuple[int, ...], max_wall_s: float, max_bytes: int) -> tuple[Score, Score, Score]:
        """Three rows of a table: seconds, seconds, and 10^9 bytes."""
        rows = (
            ("wall time (s)", self.wall_s, max_wall_s),
            ("CPU time (s)", self.cpu_s, None),
            ("peak memory (GB)", self.peak_bytes / 1e9, max_bytes / 1e9),
        )
        wall, cpu, memory = (
            Score(name, value, 1, limit=limit, seeds=seeds, pooling="largest") for name, value, limit in rows
        )
        return wall, cpu, memory


class ResourceMeter:
    """Measures from its construction on."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), _cpu_seconds()

    def usage(self) -> Usage:
        """Cost until now."""
        peak = sum(
            resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
        )
        return Usage(time.perf_counter() - self._wall, _cpu_seconds() - self._cpu, peak * _RSS_UNIT)


def _cpu_seconds() -> float:
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)
