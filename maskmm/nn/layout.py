"""Who may attend to whom in a packed sequence, built once a forward and shared by all layers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from maskmm.nn.offsets import check_bound, check_ends, check_offsets, host_copies

if TYPE_CHECKING:
    from maskmm.nn.cache import CacheStep

Predicate = Callable[[Tensor, Tensor], Tensor]
"""(query rows, key rows) -> may_attend bool. int64 row numbers that broadcast, of one sample; it must work elementwise
(index tensors by row number), so that the same function serves dense masks and FlexAttention."""

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
        window: each row sees rows at most this far away in its sample; None = all. Query rows that are fewer than
            the key rows count as the sample's last ones.
        predicate: which pairs may attend; None = all.
        max_length: the configured bound of a sample's rows, or None.
        cache: keys and values of rows encoded before, which come before the given ones; or None.
    """

    cu_q: Tensor
    cu_k: Tensor
    window: int | None = None
    predicate: Predicate | None = None
    max_length: int | None = None
    cache: CacheStep | None = None
    _memo: dict[Any, Any] = field(default_factory=dict, repr=False, compare=False)
    _on_host: tuple[Tensor, Tensor] | None = field(default=None, repr=False, compare=False)

    @classmethod
    def build(
        cls,
        cu_q: Tensor,
        cu_k: Tensor | None = None,
        *,
        max_length: int | None = None,
        window: int | None = None,
        predicate: Predicate | None = None,
        cache: CacheStep | None = None,
    ) -> AttentionLayout:
        """Layout of samples with these offsets; lengths stay on the device until a backend asks for them.

        Args:
            cu_q: (B + 1,) offsets of query rows.
            cu_k: (B + 1,) offsets of key rows; the same as cu_q where not given.
            max_length: configured bound of a sample's rows: compiled kernels see one number, and nothing has to be
                read from the device. A longer sample is an error (on CUDA a device-side assertion).
            window, predicate, cache: see the class.

        Raises:
            ValueError: what are no offsets, offsets of different batch sizes, a window below 0 or above max_length, or
                a sample longer than max_length.
        """
        is_self = cu_k is None or cu_k is cu_q
        cu_k = cu_q if cu_k is None else cu_k
        for name, offsets in (("cu_q", cu_q),) if is_self else (("cu_q", cu_q), ("cu_k", cu_k)):
            check_offsets(name, offsets)
        if cu_q.shape != cu_k.shape:
            raise ValueError(
                f"cu_q {tuple(cu_q.shape)} and cu_k {tuple(cu_k.shape)} describe different batches"
            )
        if max_length is not None:
            for offsets in (cu_q,) if is_self else (cu_q, cu_k):
                check_bound(offsets, max_length)
        cu_q = cu_q.int()
        cu_k = cu_q if is_self else cu_k.int()
        whole = cls(cu_q, cu_k, None, predicate, max_length, cache, _on_host=host_copies(cu_q, cu_k))
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

    def asking(self, cu_q: Tensor) -> AttentionLayout:
        """The same key rows where some of them ask, of which samples have these offsets.

        Raises:
            ValueError: a window, predicate or cache, which go by all rows.
        """
        if self.window is not None or self.predicate is not None or self.cache is not None:
            raise ValueError(
                f"some rows ask of a layout with window={self.window}, predicate={self.predicate}, cache={self.cache}; "
                "each goes by all rows"
            )
        cu_q = cu_q.int()
        return AttentionLayout(
            cu_q, self.cu_k, max_length=self.max_length, _on_host=host_copies(cu_q, self.cu_k)
        )

    @property
    def is_self_attention(self) -> bool:
        """Whether query rows and key rows are the same rows."""
        return self.cu_q is self.cu_k

    @property
    def on_host(self) -> tuple[Tensor, Tensor]:
        """cu_q and cu_k in the host's memory, for operators that read lengths (a sync on CUDA, once a graph)."""
        return (self.cu_q.cpu(), self.cu_k.cpu()) if self._on_host is None else self._on_host

    @property
    def runs(self) -> tuple[Run, ...]:
        """Samples grouped by equal length (a sync on CUDA, once a forward)."""
        return self.once("runs", lambda: runs_of(self.cu_q.tolist(), self.cu_k.tolist()))

    @property
    def longest(self) -> tuple[int, int]:
        """Query and key rows of the longest samples: the configured bound, else read (a sync on CUDA)."""
        if self.max_length is not None:
            return self.max_length, self.max_length
        return self.once("longest", lambda: (int(self.cu_q.diff().max()), int(self.cu_k.diff().max())))

    def check_rows(self, num_q: int, num_k: int) -> None:
        """Refuse rows that no sample owns: packed kernels leave their gradients undefined.

        Raises:
            ValueError: other numbers of rows than the offsets end at (on CUDA a device-side assertion).
        """
        self.once(("rows", num_q, num_k), lambda: check_ends(self.cu_q, self.cu_k, num_q, num_k))

    def once(self, key: object, make: Callable[[], Any]) -> Any:
        """What `make` returns, made once for this layout and those that differ from it in the window alone.

        Traced graphs keep nothing: a checkpointed block may have no side effects, and compilers find what is common.
        """
        if key in self._memo:
            return self._memo[key]
        value = make()
        if not torch.compiler.is_compiling():
            self._memo[key] = value
        return value


def runs_of(offsets_q: list[int], offsets_k: list[int]) -> tuple[Run, ...]:
    """Neighbouring samples of equal lengths as runs; samples without rows do not part the run around them."""
    runs: list[Run] = []
    for index in range(len(offsets_q) - 1):
        length_q = offsets_q[index + 1] - offsets_q[index]
        length_k = offsets_k[index + 1] - offsets_k[index]
        if not length_q and not length_k:
            continue
        last = runs[-1] if runs else None
        if last is not None and (last.length_q, last.length_k) == (length_q, length_k):
            runs[-1] = Run(last.start_q, last.start_k, last.count + 1, length_q, length_k)
        else:
            runs.append(Run(offsets_q[index], offsets_k[index], 1, length_q, length_k))
    return tuple(runs)
