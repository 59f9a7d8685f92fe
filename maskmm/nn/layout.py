"""Who may attend to whom in a packed sequence, built once a forward and shared by all layers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

Predicate = Callable[[Tensor, Tensor], Tensor]
"""(query rows, key rows) -> may_attend bool, int64 row numbers that broadcast, rows of one sample. It must work
elementwise (index tensors by the row numbers), so that the same function serves dense masks and FlexAttention."""

PairBias = Callable[[Tensor, Tensor], Tensor]
"""(query rows (..., Lq), key rows (..., Lk)) -> what is added to the scores (..., H, Lq, Lk); rows of one sample."""


@dataclass(frozen=True)
class Run:
    """Consecutive samples of equal lengths: one batched attention call without padding."""

    start_q: int
    start_k: int
    count: int
    length_q: int
    length_k: int


@dataclass(frozen=True)
class AttentionLayout:
    """Attention inside each sample of a packed batch.

    Attributes:
        cu_q: (B + 1,) int32 offsets of the query rows.
        cu_k: (B + 1,) int32 offsets of the key rows (differs from cu_q where only some rows ask).
        max_q, max_k: upper bounds of a sample's rows. On CUDA give configured bounds: a bound that changes with the
            batch makes compiled kernels specialise again.
        runs: samples grouped by equal length, for backends without a varlen kernel; None where lengths stay on
            the device.
        window: each row sees rows at most this far away in its sample; None = all. Query rows that are fewer than
            the key rows count as the sample's last ones.
        predicate: which pairs may attend; None = all.
        max_length: the configured bound, if there is one.
    """

    cu_q: Tensor
    cu_k: Tensor
    max_q: int
    max_k: int
    runs: tuple[Run, ...] | None
    window: int | None = None
    predicate: Predicate | None = None
    max_length: int | None = None
    _memo: dict[Any, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def build(
        cls,
        cu_q: Tensor,
        cu_k: Tensor | None = None,
        *,
        max_length: int | None = None,
        window: int | None = None,
        predicate: Predicate | None = None,
        needs_runs: bool = True,
    ) -> AttentionLayout:
        """Layout of samples with these offsets.

        Args:
            cu_q: (B + 1,) offsets of query rows.
            cu_k: (B + 1,) offsets of key rows; the same as cu_q where not given.
            max_length: configured bound of a sample's rows; read from the offsets where not given (a sync on CUDA).
                A longer sample is an error: a device-side assertion where lengths stay on the device.
            window, predicate: restrict attention inside a sample.
            needs_runs: False keeps lengths on the device (the varlen kernel needs none on the host).

        Raises:
            ValueError: offsets of different batch sizes, a window below 0 or above max_length, or a sample longer
                than max_length.
        """
        cu_k = cu_q if cu_k is None else cu_k
        if cu_q.shape != cu_k.shape:
            raise ValueError(
                f"cu_q {tuple(cu_q.shape)} and cu_k {tuple(cu_k.shape)} describe different batches"
            )
        runs = _runs(cu_q.tolist(), cu_k.tolist()) if needs_runs else None
        if max_length is not None:
            _check_bound(cu_q, cu_k, runs, max_length)
            max_q = max_k = max_length
        elif runs is not None:
            max_q = max((r.length_q for r in runs), default=0)
            max_k = max((r.length_k for r in runs), default=0)
        else:
            max_q, max_k = int((cu_q[1:] - cu_q[:-1]).max()), int((cu_k[1:] - cu_k[:-1]).max())
        whole = cls(cu_q.int(), cu_k.int(), max_q, max_k, runs, None, predicate, max_length)
        return whole.with_window(window)

    def with_window(self, window: int | None) -> AttentionLayout:
        """The same layout where rows see at most `window` rows to each side (None = all); shares what is built.

        Raises:
            ValueError: a window below 0, or larger than the configured bound of a sample's rows.
        """
        if window == self.window:
            return self
        if window is not None and window < 0:
            raise ValueError(f"window={window}, expected None or at least 0")
        if window is not None and self.max_length is not None and window > self.max_length:
            raise ValueError(
                f"window={window} is larger than the budget of max_length={self.max_length} rows a sample; "
                "use window=None for full attention, or raise max_length"
            )
        return replace(self, window=window)

    def once(self, key: object, make: Callable[[], Any]) -> Any:
        """What `make` returns, made once for this layout and those that differ from it in the window alone."""
        if key not in self._memo:
            self._memo[key] = make()
        return self._memo[key]


def _check_bound(cu_q: Tensor, cu_k: Tensor, runs: tuple[Run, ...] | None, bound: int) -> None:
    """Kernels that are told too small a bound leave rows out without a word."""
    if runs is None:
        for offsets in (cu_q, cu_k):
            torch._assert_async((offsets.diff() <= bound).all(), f"a sample has more than {bound} rows")
        return
    longest = max((max(run.length_q, run.length_k) for run in runs), default=0)
    if longest > bound:
        raise ValueError(
            f"a sample has {longest} rows, expected at most {bound}; raise max_length, or cut samples"
        )


def _runs(offsets_q: list[int], offsets_k: list[int]) -> tuple[Run, ...]:
    runs: list[Run] = []
    for index in range(len(offsets_q) - 1):
        length_q = offsets_q[index + 1] - offsets_q[index]
        length_k = offsets_k[index + 1] - offsets_k[index]
        if not length_q and not length_k:
            continue  # samples without rows do not part the run around them
        last = runs[-1] if runs else None
        if last is not None and (last.length_q, last.length_k) == (length_q, length_k):
            runs[-1] = Run(last.start_q, last.start_k, last.count + 1, length_q, length_k)
        else:
            runs.append(Run(offsets_q[index], offsets_k[index], 1, length_q, length_k))
    return tuple(runs)
