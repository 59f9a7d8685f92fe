"""What cross-entropy needs of a linear head, without its logits: a tile of rows x codes at a time.

A tile is made, summed up and forgotten while it lies in the cache; the backward makes again what was not kept. Cut
Cross-Entropy (Wijmans et al., 2024) does so in one kernel. torch.nn.functional.linear_cross_entropy, not yet in torch
2.11, gives neither sums of parts nor right answers, and each of its pieces reads the whole table.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from maskmm.nn.linear import linear

MAX_LOGITS_CPU = 1 << 24
"""What a CPU keeps unless told otherwise: 64 MiB."""
_TILE = 1 << 18
"""Logits of a tile: 1 MiB, an L2 cache."""
_TILE_CUDA = 1 << 26
"""A few of these fill a GPU."""
_MIN_CODES = 256
"""Narrower tiles make slow matrix products."""


class Question(NamedTuple):
    """The next `num_rows` rows ask for a code of the table's rows `start` to `stop`."""

    num_rows: int
    start: int
    stop: int


class CodeScores(NamedTuple):
    """Of each of T rows, (T,) float32.

    Attributes:
        log_sum: log of the sum of the exponents of a row's logits; differentiable.
        right: logit of the right code; differentiable. right - log_sum is its log-probability.
        largest: the greatest logit, without a gradient.
    """

    log_sum: Tensor
    right: Tensor
    largest: Tensor


def code_scores(
    x_TD: Tensor,
    table_VD: Tensor,
    bias_V: Tensor | None,
    ids_T: Tensor,
    questions: Sequence[Question],
    max_kept: int,
) -> CodeScores:
    """Scores of rows against slices of one table, differentiable in rows, table and bias.

    Under autocast, products are in its dtype; sums, exponents and what is returned are float32 in any case.

    Args:
        x_TD: (T, D) floating, the rows of all questions one after the other.
        table_VD: (V, D).
        bias_V: (V,), or None.
        ids_T: (T,) int64, the row of the table that is right.
        questions: their rows sum to T; no code is asked by two of them.
        max_kept: logits kept for the backward, which makes the others again.

    Raises:
        ValueError: codes that are asked by two questions.
    """
    _check_apart(questions)
    device_type = x_TD.device.type
    if torch.is_autocast_enabled(device_type):
        dtype = torch.get_autocast_dtype(device_type)
        x_TD, table_VD = x_TD.to(dtype), table_VD.to(dtype)
        bias_V = None if bias_V is None else bias_V.to(dtype)
    flat = [number for question in questions for number in question]
    return CodeScores(*_forward(x_TD, table_VD, bias_V, ids_T, flat, max_kept)[:3])


def _check_apart(questions: Sequence[Question]) -> None:
    in_order = sorted(questions, key=lambda question: question.start)
    for one, following in zip(in_order, in_order[1:]):
        if following.start < one.stop:
            raise ValueError(
                f"two questions ask codes {one.start} to {one.stop} and {following.start} to {following.stop} of the "
                "table, expected ranges that do not meet; put the rows of one codebook into one question"
            )


def _questions(flat: Sequence[int]) -> list[Question]:
    """Operators take numbers alone."""
    return [Question(*flat[i : i + 3]) for i in range(0, len(flat), 3)]


@dataclass(frozen=True)
class _Tile:
    rows: slice
    codes: slice
    kept: slice | None
    """Where its logits are kept."""

    @property
    def num_codes(self) -> int:
        return self.codes.stop - self.codes.start

    def logits(self, x_TD: Tensor, table_VD: Tensor, bias_V: Tensor | None) -> Tensor:
        """(R, C)."""
        return linear(x_TD[self.rows], table_VD[self.codes], None if bias_V is None else bias_V[self.codes])

    def find(self, ids_T: Tensor) -> tuple[Tensor, Tensor]:
        """Column of each row's right code (R, 1), some column where it is in another tile; whether it is in this."""
        column_R1 = ids_T[self.rows, None] - self.codes.start
        is_here_R1 = (column_R1 >= 0) & (column_R1 < self.num_codes)
        return column_R1.clamp(0, self.num_codes - 1), is_here_R1


def _tiles(flat: Sequence[int], max_kept: int, device: torch.device) -> Iterator[_Tile]:
    """All rows of a question, some of its codes: so a gradient of the table is written once."""
    area = _TILE_CUDA if device.type == "cuda" else _TILE
    first_row = num_kept = 0
    for num_rows, start, stop in _questions(flat):
        rows = slice(first_row, first_row + num_rows)
        step = max(_MIN_CODES, area // max(num_rows, 1))
        for first in range(start, stop, step) if num_rows else ():
            codes = slice(first, min(first + step, stop))
            end = num_kept + num_rows * (codes.stop - codes.start)
            is_kept = end <= max_kept
            yield _Tile(rows, codes, slice(num_kept, end) if is_kept else None)
            num_kept = end if is_kept else num_kept
        first_row = rows.stop


@torch.library.custom_op("maskmm::code_scores", mutates_args=())
def _forward(
    x_TD: Tensor,
    table_VD: Tensor,
    bias_V: Tensor | None,
    ids_T: Tensor,
    questions: Sequence[int],
    max_kept: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """log_sum, right, largest (T,) float32, and the kept logits."""
    log_sum_T, right_T, largest_T, kept = _like_scores(x_TD, table_VD, bias_V, ids_T, questions, max_kept)
    log_sum_T.fill_(-torch.inf)
    largest_T.fill_(-torch.inf)
    right_T.zero_()
    num_kept = 0
    for tile in _tiles(questions, max_kept, x_TD.device):
        logits_RC = tile.logits(x_TD, table_VD, bias_V)
        if tile.kept is not None:
            kept[tile.kept].view_as(logits_RC).copy_(logits_RC)
            num_kept = tile.kept.stop
        logits_RC = logits_RC.float()
        column_R1, is_here_R1 = tile.find(ids_T)
        right_T[tile.rows].add_(torch.where(is_here_R1, logits_RC.gather(1, column_R1), 0.0)[:, 0])
        top_R = logits_RC.amax(dim=1)
        largest_T[tile.rows] = torch.maximum(largest_T[tile.rows], top_R)
        log_sum_R = logits_RC.sub_(top_R[:, None]).exp_().sum(dim=1).log_().add_(top_R)
        log_sum_T[tile.rows] = torch.logaddexp(log_sum_T[tile.rows], log_sum_R)
    kept[num_kept:].zero_()
    return log_sum_T, right_T, largest_T, kept


@_forward.register_fake
def _like_scores(
    x_TD: Tensor,
    table_VD: Tensor,
    bias_V: Tensor | None,
    ids_T: Tensor,
    questions: Sequence[int],
    max_kept: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    log_sum_T, right_T, largest_T = (x_TD.new_empty(x_TD.shape[0], dtype=torch.float32) for _ in range(3))
    num_logits = sum(num_rows * (stop - start) for num_rows, start, stop in _questions(questions))
    return log_sum_T, right_T, largest_T, x_TD.new_empty(torch.sym_min(num_logits, max_kept))


@torch.library.custom_op("maskmm::code_scores_backward", mutates_args=())
def _backward(
    log_sum_grad_T: Tensor,
    right_grad_T: Tensor,
    x_TD: Tensor,
    table_VD: Tensor,
    bias_V: Tensor | None,
    ids_T: Tensor,
    log_sum_T: Tensor,
    kept: Tensor,
    questions: Sequence[int],
    max_kept: int,
    needs_table: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of rows (float32), bias (float32) and table; the last is empty where it is not needed."""
    x_grad_TD = torch.zeros_like(x_TD, dtype=torch.float32)
    bias_grad_V = x_grad_TD.new_zeros(table_VD.shape[0])
    table_grad_VD = torch.empty_like(table_VD[: None if needs_table else 0])
    if needs_table:
        _clear_unasked(table_grad_VD, questions)
    for tile in _tiles(questions, max_kept, x_TD.device):
        if tile.kept is None:
            logits_RC = tile.logits(x_TD, table_VD, bias_V)
        else:
            logits_RC = kept[tile.kept].view(-1, tile.num_codes)
        # Of the logits: the log-sum's gradient is their softmax, the right one's is 1 at its place.
        grad_RC = (
            (logits_RC.float() - log_sum_T[tile.rows, None]).exp_().mul_(log_sum_grad_T[tile.rows, None])
        )
        column_R1, is_here_R1 = tile.find(ids_T)
        grad_RC.scatter_add_(1, column_R1, torch.where(is_here_R1, right_grad_T[tile.rows, None], 0.0))
        bias_grad_V[tile.codes] = grad_RC.sum(dim=0)
        grad_RC = grad_RC.to(x_TD.dtype)
        x_grad_TD[tile.rows] += linear(grad_RC, table_VD[tile.codes].t())
        if needs_table:
            table_grad_VD[tile.codes] = linear(grad_RC.t(), x_TD[tile.rows].t())
    return x_grad_TD, bias_grad_V, table_grad_VD


@_backward.register_fake
def _(
    log_sum_grad_T: Tensor, right_grad_T: Tensor, x_TD: Tensor, table_VD: Tensor, *others: Any
) -> tuple[Tensor, Tensor, Tensor]:
    x_grad_TD = torch.empty_like(x_TD, dtype=torch.float32)
    return (
        x_grad_TD,
        x_grad_TD.new_empty(table_VD.shape[0]),
        torch.empty_like(table_VD[: None if others[-1] else 0]),
    )


def _clear_unasked(grad_VD: Tensor, questions: Sequence[int]) -> None:
    end = 0
    for start, stop in sorted((start, stop) for num_rows, start, stop in _questions(questions) if num_rows):
        grad_VD[end:start].zero_()
        end = stop
    grad_VD[end:].zero_()


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    x_TD, table_VD, bias_V, ids_T, ctx.questions, ctx.max_kept = inputs
    log_sum_T, _, largest_T, kept = output
    ctx.mark_non_differentiable(largest_T, kept)
    ctx.save_for_backward(x_TD, table_VD, bias_V, ids_T, log_sum_T, kept)


def _differentiate(ctx: Any, log_sum_grad_T: Tensor, right_grad_T: Tensor, *_: Any) -> tuple[Any, ...]:
    x_TD, table_VD, bias_V, *others = ctx.saved_tensors
    plan = (ctx.questions, ctx.max_kept, ctx.needs_input_grad[1])
    x_grad_TD, bias_grad_V, table_grad_VD = _backward(
        log_sum_grad_T, right_grad_T, x_TD, table_VD, bias_V, *others, *plan
    )
    bias_grad = None if bias_V is None else bias_grad_V.to(bias_V.dtype)
    return x_grad_TD.to(x_TD.dtype), table_grad_VD if plan[-1] else None, bias_grad, None, None, None


_forward.register_autograd(_differentiate, setup_context=_save)
