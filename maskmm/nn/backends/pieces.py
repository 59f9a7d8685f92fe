"""Runs cut into pieces whose scores fit into memory, and the rows of each."""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor

from maskmm.nn.layout import Run

MAX_SCORES = 1 << 25
"""Scores that are held at once: 128 MiB of float32."""


def pieces_of(run: Run, num_heads: int) -> list[Run]:
    """The run in parts that do not have more than MAX_SCORES scores; a sample is never cut."""
    size = max(1, MAX_SCORES // max(1, num_heads * run.length_q * run.length_k))
    return [
        Run(
            run.start_q + first * run.length_q,
            run.start_k + first * run.length_k,
            min(size, run.count - first),
            run.length_q,
            run.length_k,
        )
        for first in range(0, run.count, size)
    ]


def slices(run: Run) -> tuple[slice, slice]:
    """Query and key rows of a run."""
    return (
        slice(run.start_q, run.start_q + run.count * run.length_q),
        slice(run.start_k, run.start_k + run.count * run.length_k),
    )


def row_numbers(run: Run, device: torch.device) -> tuple[Tensor, Tensor]:
    """(count, Lq) and (count, Lk) int64 numbers of the query and key rows."""
    rows_q, rows_k = (torch.arange(rows.start, rows.stop, device=device) for rows in slices(run))
    return rows_q.view(run.count, run.length_q), rows_k.view(run.count, run.length_k)


def heads_first(run: Run, *rows: Tensor) -> list[Tensor]:
    """(count L, H, K) each -> (count, H, L, K)."""
    return [rearrange(t, "(b l) h k -> b h l k", b=run.count) for t in rows]
