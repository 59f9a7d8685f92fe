"""How often each pair of neighbours occurs, kept up to date while the corpus is merged."""

from __future__ import annotations

import heapq

from torch import Tensor


class PairCounts:
    """Counts of keys, and the most frequent one without a walk over all of them.

    Args:
        keys: any shape; entries equal to `nothing` count for nothing.
        nothing: see above.
    """

    def __init__(self, keys: Tensor, nothing: int) -> None:
        self._nothing = nothing
        self._counts: dict[int, int] = {}
        # A heap of (-count, key) with outdated entries, which are passed over when they come up.
        self._heap: list[tuple[int, int]] = []
        self.add(keys)

    def add(self, keys: Tensor, times: int = 1) -> None:
        """Count keys, or with times=-1 take them off."""
        found, counts = keys[keys != self._nothing].unique(return_counts=True)
        for key, count in zip(found.tolist(), counts.tolist()):
            total = self._counts.get(key, 0) + times * count
            self._counts[key] = total
            heapq.heappush(self._heap, (-total, key))

    def most_frequent(self) -> tuple[int, int]:
        """The key of the highest count, the smallest of several, and its count; (nothing, 0) where there is none."""
        while self._heap:
            negative, key = self._heap[0]
            if negative and self._counts[key] == -negative:
                return key, -negative
            heapq.heappop(self._heap)
        return self._nothing, 0
