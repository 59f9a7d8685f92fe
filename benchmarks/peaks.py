"""Memory that a call takes, measured in a child process so that nothing else shows."""

from __future__ import annotations

import ctypes
import multiprocessing
import resource
from collections.abc import Callable


def added_mib(call: Callable[[], object]) -> float:
    """Growth of the resident set in one call, in a child that is forked for it (warm); one thread only."""

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
