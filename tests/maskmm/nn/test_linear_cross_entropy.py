"""Scores of codes in tiles: the numbers and gradients of all logits at once."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from maskmm.nn import linear_cross_entropy as module
from maskmm.nn.linear_cross_entropy import CodeScores, Question, code_scores

QUESTIONS = [Question(30, 4, 900), Question(0, 900, 1000), Question(40, 1200, 3000)]
MARGINS = {torch.float32: 1e-4, torch.float64: 1e-5, torch.bfloat16: 0.1}
"""Sums are float32 in any case."""


def operands(dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x, table, bias = (
        torch.randn(shape, generator=generator).to(dtype).requires_grad_()
        for shape in ((70, 40), (3000, 40), (3000,))
    )
    ids = [torch.randint(q.start, q.stop, (q.num_rows,), generator=generator) for q in QUESTIONS]
    return x, table, bias, torch.cat(ids)


def all_at_once(x: Tensor, table: Tensor, bias: Tensor | None, ids: Tensor) -> list[Tensor]:
    """log_sum, right, largest."""
    found, row = [], 0
    for num_rows, start, stop in QUESTIONS:
        rows = slice(row, row + num_rows)
        logits = F.linear(x[rows], table[start:stop], None if bias is None else bias[start:stop]).float()
        right = logits.gather(1, ids[rows, None] - start)[:, 0]
        found.append((logits.logsumexp(1), right, logits.amax(1)))
        row += num_rows
    return [torch.cat(values) for values in zip(*found)]


@pytest.fixture(params=[1 << 18, 1])
def area(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Large tiles, and the narrowest."""
    monkeypatch.setattr(module, "_TILE", request.param)


@pytest.mark.usefixtures("area")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("max_kept", [0, 20_000, 10**8])
@pytest.mark.parametrize("has_bias", [True, False])
def test_values_and_gradients(dtype: torch.dtype, max_kept: int, has_bias: bool) -> None:
    x, table, bias, ids = operands(dtype)
    given = (x, table, bias if has_bias else None)
    ours, theirs = code_scores(*given, ids, QUESTIONS, max_kept), all_at_once(*given, ids)
    margin = {"atol": MARGINS[dtype], "rtol": MARGINS[dtype]}
    for one, other in zip(ours, theirs):
        assert one.dtype == torch.float32
        torch.testing.assert_close(one, other, **margin)
    assert not ours.largest.requires_grad
    leaves = [t for t in given if t is not None]
    for one, other in zip(gradients(ours, leaves), gradients(CodeScores(*theirs), leaves)):
        assert one.dtype == dtype
        torch.testing.assert_close(one, other, **margin)


def gradients(scores: CodeScores, leaves: list[Tensor]) -> tuple[Tensor, ...]:
    """Both outputs weigh something else in each row."""
    first, second = torch.randn(2, 70, generator=torch.Generator().manual_seed(1))
    return torch.autograd.grad((scores.log_sum * first + scores.right * second).sum(), leaves)


def test_a_frozen_table_gets_no_gradient() -> None:
    x, table, bias, ids = operands()
    wanted = gradients(CodeScores(*all_at_once(x, table, bias, ids)), [x, bias])
    table.requires_grad_(False)
    found = gradients(code_scores(x, table, bias, ids, QUESTIONS, 0), [x, bias])
    for one, other in zip(found, wanted):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


def test_large_logits_do_not_overflow() -> None:
    x, table, bias, ids = operands()
    scores = code_scores(x * 1e4, table, bias, ids, QUESTIONS, 0)
    assert scores.log_sum.isfinite().all() and (scores.log_sum >= scores.largest).all()
    assert all(gradient.isfinite().all() for gradient in gradients(scores, [x, table, bias]))


def test_no_rows() -> None:
    x, table, bias, _ = operands()
    scores = code_scores(x[:0], table, bias, torch.zeros(0, dtype=torch.long), [Question(0, 0, 3000)], 100)
    assert all(values.shape == (0,) for values in scores)
    scores.log_sum.sum().backward()
    assert table.grad is not None and not table.grad.any()


def test_backward_twice_and_compiled() -> None:
    x, table, bias, ids = operands()

    def loss(x: Tensor, table: Tensor, bias: Tensor) -> Tensor:
        scores = code_scores(x, table, bias, ids, QUESTIONS, 50_000)
        return (scores.log_sum - scores.right).sum()

    once = loss(x, table, bias)
    wanted = torch.autograd.grad(once, [x, table, bias], retain_graph=True)
    again = torch.autograd.grad(once, [x, table, bias])
    found = torch.autograd.grad(
        torch.compile(loss, fullgraph=True, backend="aot_eager")(x, table, bias), [x, table, bias]
    )
    for one, two, three in zip(wanted, again, found):
        assert torch.equal(one, two)
        torch.testing.assert_close(one, three, atol=1e-5, rtol=1e-5)


def test_operators_keep_their_promises() -> None:
    x, table, bias, ids = operands()
    flat = [number for question in QUESTIONS for number in question]
    for given in ((x, table, bias), (x, table, None)):
        results = torch.library.opcheck(module._forward, (*given, ids, flat, 50_000))
        assert set(results.values()) == {"SUCCESS"}


def test_codes_of_two_questions() -> None:
    x, table, bias, ids = operands()
    with pytest.raises(ValueError, match="two questions ask codes 4 to 900 and 899 to 3000"):
        code_scores(x, table, bias, ids, [Question(30, 4, 900), Question(40, 899, 3000)], 0)
