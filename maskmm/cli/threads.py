"""Threads on small or shared machines; must run before torch is imported."""

from __future__ import annotations

import os

# Models of the sizes trained on CPU gain nothing beyond this many cores.
MOST_THREADS = 4


def settle_threads(most: int = MOST_THREADS) -> None:
    """Set what OpenMP reads when torch is loaded; what the user has set stays.

    A waiting OpenMP thread spins by default: with the other core busy, a step of 141 ms took 770 ms so.

    Args:
        most: threads, where there are as many cores.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", "0")
    os.environ.setdefault("OMP_NUM_THREADS", str(min(most, num_cores())))


def num_cores() -> int:
    """Cores that this process may use."""
    # A container or a batch system may grant fewer cores than the machine has; only Linux tells.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
