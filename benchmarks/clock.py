"""Reading time: CPU time of one thread, or wall time that is taken again while other programs are busy."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F

from maskmm.nn.linear import linear

_TICKS = os.sysconf("SC_CLK_TCK")
_MOST_FOREIGN = 0.05  # share of all cores' time that others may have had
_TRIES = 20


@dataclass(frozen=True)
class Clock:
    """How calls are timed.

    Attributes:
        mode: "cpu" or "wall".
    """

    mode: Literal["cpu", "wall"] = "cpu"

    @property
    def threads(self) -> int:
        """Threads that torch is given."""
        return 1 if self.mode == "cpu" else os.cpu_count() or 1

    def seconds(self, call: Callable[[], object], repeats: int) -> float:
        """Of one call among `repeats`.

        Raises:
            RuntimeError: in wall mode, a machine that is never quiet.
        """
        if self.mode == "cpu":
            start = time.process_time()
            for _ in range(repeats):
                call()
            return (time.process_time() - start) / repeats
        for _ in range(_TRIES):
            seconds, foreign = _watched(call, repeats)
            if foreign <= _MOST_FOREIGN:
                return seconds / repeats
        raise RuntimeError(
            f"others had {foreign:.0%} of the cores in each of {_TRIES} measurements; wait for a quiet machine, or "
            "measure with --mode cpu"
        )


def _watched(call: Callable[[], object], repeats: int) -> tuple[float, float]:
    """Wall seconds of all repeats, and the share of all cores' time that other processes had meanwhile."""
    busy, own, start = _busy_seconds(), time.process_time(), time.perf_counter()
    for _ in range(repeats):
        call()
    wall = time.perf_counter() - start
    foreign = _busy_seconds() - busy - (time.process_time() - own)
    # The kernel counts in ticks: what a short measurement cannot see is no foreign time.
    return wall, max(0.0, foreign - 2 / _TICKS) / (wall * (os.cpu_count() or 1))


def _busy_seconds() -> float:
    """CPU seconds of all processes since the start of the machine."""
    user, nice, system, _, _, irq, softirq, *_ = map(
        int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    )
    return (user + nice + system + irq + softirq) / _TICKS


@cache
def _gemm_operands() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(1024, 768), torch.randn(3072, 768)


def gemm_gflops(clock: Clock) -> float:
    """Billions of operations per second of an encoder's float32 product, now, by the faster of torch's ways."""
    x, weight = _gemm_operands()
    ways = (F.linear, linear)
    for way in ways:
        way(x, weight)
    seconds = min(clock.seconds(lambda f=way: f(x, weight), 5) for way in ways)
    return 2.0 * x.shape[0] * x.shape[1] * weight.shape[0] / seconds / 1e9
