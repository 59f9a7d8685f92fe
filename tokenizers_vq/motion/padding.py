"""Batches of rows of unequal length: checked, then filled by holding each one's last row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from tokenizers_vq.checks import check_float, padded_lengths


def pad_rows(
    media: Tensor | Sequence[Any],
    lengths: Tensor | None,
    width: int,
    row_of: Callable[[Any], Tensor],
    what: str,
) -> tuple[Tensor, Tensor]:
    """One batch of rows and how many each motion has.

    Args:
        media: list of motions, or padded rows (B, T, width).
        lengths: (B,) int64, real rows of each motion of padded rows; all of them where not given.
        width: numbers a row.
        row_of: rows (T, width) of one motion of a list; raises ValueError where it is none.
        what: a row is, for messages.

    Returns:
        rows (B, T, width), whatever stands behind a motion's end; lengths (B,) int64.

    Raises:
        ValueError: a wrong type or shape, no motions, lengths beside a list or longer than the rows.
    """
    if isinstance(media, Tensor):
        return _check_padded(media, lengths, width, what)
    if not isinstance(media, Sequence) or not media:
        raise ValueError(f"{type(media).__name__} without motions; expected a list of at least one motion")
    if lengths is not None:
        raise ValueError(
            f"lengths belong to padded rows (B, T, {width}); expected none with a list of motions"
        )
    rows = [row_of(motion) for motion in media]
    sizes_B = torch.tensor([len(x) for x in rows], device=rows[0].device)
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True), sizes_B


def hold_last(rows_BTF: Tensor, sizes_B: Tensor, shortest: int, longest: int, multiple: int) -> Tensor:
    """Rows as long as the longest motion filled up to a multiple, each motion's last row held to the end; float32.

    Args:
        rows_BTF: rows, whatever stands behind a motion's end.
        sizes_B: (B,) int64, real rows.
        shortest, longest: allowed rows of a motion.
        multiple: of which the batch has a number of rows.

    Raises:
        ValueError: a motion too short or too long, NaN in a real row.
    """
    low, high = int(sizes_B.min()), int(sizes_B.max())
    if low < shortest or high > longest:
        raise ValueError(
            f"motions of {low} to {high} poses, expected {shortest} to {longest}; leave out or cut the others"
        )
    row_T = torch.arange(high + -high % multiple, device=rows_BTF.device)
    index_BT = torch.minimum(row_T, sizes_B[:, None] - 1)
    held_BTF = rows_BTF.float()[torch.arange(len(sizes_B), device=rows_BTF.device)[:, None], index_BT]
    if not bool(torch.isfinite(held_BTF).all()):
        raise ValueError("the poses hold NaN or infinite values; expected finite numbers")
    return held_BTF


def _check_padded(media: Tensor, lengths: Tensor | None, width: int, what: str) -> tuple[Tensor, Tensor]:
    check_float(media, "motion")
    if media.ndim != 3 or media.shape[2] != width or media.numel() == 0:
        raise ValueError(f"poses of shape {tuple(media.shape)}, expected (B, T, {width}): {what}")
    return media, padded_lengths(media, lengths, "poses")
