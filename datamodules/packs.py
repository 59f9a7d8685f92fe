"""Which draws share a pack of a fixed token budget: greedy packing of a shuffle buffer, from lengths alone."""

from __future__ import annotations

import logging
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from datamodules.plan import BatchPlan
from tokenizers_vq.contract import TokenBudget

_log = logging.getLogger(__name__)

_KEPT_BACK = (
    2  # packs' worth of rows that wait for the next buffer, so that the last packs have a choice, too
)
_AT_RANDOM = 2  # samples are taken in drawn order while the gap is larger than this many of the longest
_REMEMBERED = 8  # cursors
_FULL = 0.95  # share of real rows in a pack below which its budget is worth a word


def fill_packs(lengths: Sequence[int], budget: TokenBudget) -> tuple[list[list[int]], list[int]]:
    """Greedy packs of drawn samples: a pack begins with the oldest, its last gap takes the longest that fit.

    The order drawn decides most of a pack, so packs stay random mixtures of short and long samples. Measured fill:
    99.9 % where the longest sample is a twentieth of the budget, 98.3 % for lengths uniform up to the whole budget
    (1024 waiting samples).

    Args:
        lengths: rows of each waiting sample, in the order drawn, each within the budget.
        budget: rows and samples of a pack.

    Returns:
        packs as lists of indices into `lengths`, and the indices that wait for more samples to choose from.
    """
    waiting = sorted((length, index) for index, length in enumerate(lengths))
    total, oldest, packs = sum(lengths), 0, []
    is_taken = [False] * len(lengths)
    while total >= _KEPT_BACK * budget.rows:
        gap, pack = budget.rows, list[int]()
        while waiting and len(pack) < budget.samples:
            if not pack or gap > _AT_RANDOM * waiting[-1][0]:
                while is_taken[oldest]:
                    oldest += 1
                place = bisect_left(waiting, (lengths[oldest], oldest))
            else:
                place = bisect_right(waiting, (gap, len(lengths))) - 1
            if place < 0:
                break
            length, index = waiting.pop(place)
            is_taken[index] = True
            pack.append(index)
            gap, total = gap - length, total - length
        packs.append(pack)
    return packs, [index for index in range(len(lengths)) if not is_taken[index]]


@dataclass(frozen=True)
class PackCursor:
    """Where a buffer begins: all that a walk over the packs must know to go on from there.

    Attributes:
        buffer: number of the next buffer of draws.
        pack: number of the first pack made with it.
        carried: draws of earlier buffers that wait for it.
    """

    buffer: int = 0
    pack: int = 0
    carried: tuple[int, ...] = ()


@dataclass
class PackPlan:
    """Packs of one run, numbered; each draw of the plan lies in exactly one.

    A pack follows from the plan alone. Packs are found by walking over the buffers (20 to 50 microseconds a sample,
    most of it pairing and transforms), so that asking in order costs little, and a cursor saves a resumed run the
    walk from the start.

    Args:
        plan: shuffles; its batches are the buffers.
        count_rows: packed rows (b,) of draws (b,), a pure function.
        budget: shape of a pack.
        start: where walks begin.
    """

    plan: BatchPlan
    count_rows: Callable[[Tensor], Tensor]
    budget: TokenBudget
    start: PackCursor = PackCursor()
    _cursors: deque[PackCursor] = field(init=False, repr=False)
    _packs: list[Tensor] = field(init=False, repr=False)
    _first: int = field(init=False, repr=False)  # number of _packs[0]

    def __post_init__(self) -> None:
        # The cursors of the last buffers, the one whose packs are known, and the next one: data loaders run ahead, and
        # then the cursor of an earlier step is asked.
        self._cursors = deque([self.start], maxlen=_REMEMBERED)
        self._packs, self._first = [], self.start.pack

    def draws(self, pack: int) -> Tensor:
        """(b,) int64 running numbers of a pack's draws.

        Raises:
            ValueError: a sample of its buffer is longer than the budget.
        """
        self._walk_to(pack)
        return self._packs[pack - self._first]

    def cursor(self, pack: int) -> PackCursor:
        """The last cursor at or before a pack."""
        self._walk_to(pack)
        return self._cursors[-2]

    def _walk_to(self, pack: int) -> None:
        if pack < self._first:
            self._go_back(pack)
        while pack >= self._cursors[-1].pack:
            self._fill()

    def _go_back(self, pack: int) -> None:
        known = [cursor for cursor in (PackCursor(), self.start, *self._cursors) if cursor.pack <= pack]
        here = max(known, key=lambda cursor: cursor.buffer)
        self._cursors = deque([here], maxlen=_REMEMBERED)
        self._packs, self._first = [], here.pack

    def _fill(self) -> None:
        """Packs of the buffer at the last cursor, and the cursor after it."""
        here = self._cursors[-1]
        draws = torch.cat([torch.tensor(here.carried, dtype=torch.int64), self.plan.draws(here.buffer)])
        rows = self.count_rows(draws)
        self._check(draws, rows)
        packs, left = fill_packs(rows.tolist(), self.budget)
        if here == self.start:
            self._warn_of_gaps(rows, packs)
        self._packs, self._first = [draws[torch.tensor(pack)] for pack in packs], here.pack
        self._cursors.append(PackCursor(here.buffer + 1, here.pack + len(packs), tuple(draws[left].tolist())))

    def _warn_of_gaps(self, rows: Tensor, packs: list[list[int]]) -> None:
        """Say so where packs have as many samples as they may long before they are full."""
        num_rows = sum(int(rows[pack].sum()) for pack in packs)
        share = num_rows / max(len(packs) * self.budget.rows, 1)
        num_bound = sum(len(pack) == self.budget.samples for pack in packs)
        if packs and share < _FULL and num_bound:
            needed = self.budget.rows * sum(map(len, packs)) // num_rows + 1
            _log.warning(
                "packs of the token budget are %.0f %% full: %d of %d have samples=%d before rows=%d; samples of %d "
                "rows on average want budget.samples of %d and more",
                *(100 * share, num_bound, len(packs), self.budget.samples, self.budget.rows),
                *(num_rows // sum(map(len, packs)), needed),
            )

    def _check(self, draws: Tensor, rows: Tensor) -> None:
        longest = int(rows.argmax())
        bound = min(self.budget.rows, self.budget.longest or self.budget.rows)
        if rows[longest] > bound:
            item = int(self.plan.of_draws(draws[longest, None]))
            raise ValueError(
                f"the sample of item {item} has {int(rows[longest])} packed rows, the token budget {bound}; "
                "raise budget.rows or budget.longest, or leave out samples as long as that"
            )
