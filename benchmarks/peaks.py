"""Memory that a call takes, measured in a child process so that nothing else shows."""

from __future__ import annotations

import ctypes
import multiprocessing
from collections.abc import Callable
from pathlib import Path


def added_mib(call: Callable[[], object]) -> float:
    """Growth of the resident set in one call over what the first call left behind, in a child (forked, warm).

    The first call in a child brings in the pages of the code that it runs, 10 to 25 MiB, however small its data are.
    One thread only.

    Raises:
        RuntimeError: the child did not live to tell it.
    """

    def child(results: multiprocessing.SimpleQueue) -> None:
        call()
        _give_back()
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew, see proc(5)
        before = _status_mib("VmRSS")
        call()
        results.put(_status_mib("VmHWM") - before)

    _give_back()
    context = multiprocessing.get_context("fork")
    results = context.SimpleQueue()
    process = context.Process(target=child, args=(results,))
    process.start()
    process.join()
    if process.exitcode:
        raise RuntimeError(f"the child that measures memory ended with status {process.exitcode}")
    return float(results.get())


def _give_back() -> None:
    """Memory that earlier calls have freed but not given back would hide the growth."""
    ctypes.CDLL(None).malloc_trim(0)


def _status_mib(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(name))
