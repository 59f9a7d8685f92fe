"""Packed queries, keys and values of the backend tests, and the comparison with the naive twin."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from maskmm.nn.attention import attend
from maskmm.nn.layout import AttentionLayout, PairBias, Predicate
from tests.reference.naive_attention import naive_attend

# Absolute and relative error that a dtype allows, forward and gradient.
TOLERANCE = {
    torch.float64: 1e-10,
    torch.float32: 3e-5,
    torch.bfloat16: 6e-2,
    torch.float16: 6e-3,
}


def offsets(lengths: list[int]) -> Tensor:
    return torch.tensor([0, *torch.tensor(lengths, dtype=torch.int64).cumsum(0).tolist()])


@dataclass(frozen=True)
class Case:
    """Lengths of query and key rows by sample, heads (H, G), head width, dtype."""

    lengths: list[int]
    heads: tuple[int, int] = (2, 2)
    width: int = 8
    dtype: torch.dtype = torch.float32
    lengths_k: list[int] | None = None

    def tensors(self, seed: int = 0) -> list[Tensor]:
        """Leaf q (N, H, K), k and v (M, G, K)."""
        generator = torch.Generator().manual_seed(seed)
        rows = sum(self.lengths), sum(self.lengths_k or self.lengths)
        shapes = [(rows[0], self.heads[0]), (rows[1], self.heads[1]), (rows[1], self.heads[1])]
        return [
            torch.randn(*shape, self.width, generator=generator).to(self.dtype).requires_grad_()
            for shape in shapes
        ]

    def layout(self, window: int | None = None, predicate: Predicate | None = None) -> AttentionLayout:
        cu_k = None if self.lengths_k is None else offsets(self.lengths_k)
        return AttentionLayout.build(offsets(self.lengths), cu_k, window=window, predicate=predicate)


def naive(
    case: Case, q: Tensor, k: Tensor, v: Tensor, layout: AttentionLayout, bias: Tensor | None
) -> Tensor:
    window, predicate = layout.window, layout.predicate

    def may_attend(i: int, j: int, row_q: int, row_k: int) -> bool:
        is_near = window is None or abs(i - j) <= window
        return is_near and (predicate is None or bool(predicate(torch.tensor(row_q), torch.tensor(row_k))))

    lengths_k = case.lengths_k or case.lengths
    return naive_attend(
        q, k, v, offsets(case.lengths).tolist(), offsets(lengths_k).tolist(), may_attend, bias
    )


def table_bias(table: Tensor) -> PairBias:
    """A bias (H, N, M) looked up by row numbers."""
    return lambda rows_q, rows_k: table[:, rows_q[..., :, None], rows_k[..., None, :]].movedim(0, -3)


def assert_equals_naive(
    case: Case,
    backend: str,
    window: int | None = None,
    predicate: Predicate | None = None,
    bias: Tensor | None = None,
    run: Callable[..., Tensor] = attend,
) -> None:
    """Forward and the gradients of q, k, v and the bias."""
    q, k, v = case.tensors()
    layout = case.layout(window, predicate)
    out = run(q, k, v, layout, backend, None if bias is None else table_bias(bias))
    expected = naive(case, q, k, v, layout, bias)
    assert out.dtype == case.dtype and out.shape == q.shape
    error = TOLERANCE[case.dtype]
    torch.testing.assert_close(out.double(), expected, atol=error, rtol=error)
    weight = torch.randn(out.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    leaves = [q, k, v] if bias is None else [q, k, v, bias]
    got = torch.autograd.grad((out.double() * weight).sum(), leaves, allow_unused=True)
    want = torch.autograd.grad((expected * weight).sum(), leaves, allow_unused=True)
    for g, w in zip(got, want):
        assert (g is None) == (w is None) or not (w if g is None else g).any()
        if g is not None and w is not None:
            assert g.isfinite().all()
            torch.testing.assert_close(g.double(), w.double(), atol=5 * error, rtol=5 * error)
