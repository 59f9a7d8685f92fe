"""FlexAttention without a GPU: masks against the naive twin, and many kinds of packs in one process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor

from maskmm.nn.attention import attend
from maskmm.nn.backends import flex
from maskmm.nn.layout import AttentionLayout, Predicate
from maskmm.nn.structure import block_causal, hybrid, permutation
from tests.maskmm.nn.backends.cases import Case, naive, offsets

PREDICATES: dict[str, Callable[[Tensor, Tensor], Predicate]] = {
    "permutation": permutation,
    "query stream": lambda order_q, order_k: permutation(order_q, order_k, sees_itself=False),
    "hybrid": lambda order_q, order_k: hybrid(order_q, order_k, sees_later=True),
}
PACKS = [([6, 4, 3], None), ([0, 130, 0, 1], None), ([2, 0, 3], [7, 3, 140])]


@cache
def traced(function: Callable[..., Any], is_static: bool) -> Callable[..., Any]:
    """As the backend compiles, without making kernels."""
    return torch.compile(function, fullgraph=True, dynamic=False if is_static else None, backend="eager")


@pytest.fixture(autouse=True)
def _no_kernels(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    torch._dynamo.reset()
    monkeypatch.setattr(flex, "_kernel", traced)
    yield
    torch._dynamo.reset()


def assert_equals_naive(case: Case, make: Callable[[Tensor, Tensor], Predicate], window: int | None) -> None:
    generator = torch.Generator().manual_seed(3)
    rows = sum(case.lengths), sum(case.lengths_k or case.lengths)
    order_q, order_k = (torch.randint(0, 5, (count,), generator=generator) for count in rows)
    layout = case.layout(window, make(order_q, order_q if case.lengths_k is None else order_k))
    q, k, v = (t.detach() for t in case.tensors())
    out = attend(q, k, v, layout, "flex")
    torch.testing.assert_close(out.double(), naive(case, q, k, v, layout, None), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("name", "window"), [("permutation", None), ("query stream", 2), ("hybrid", 2)])
@pytest.mark.parametrize(("lengths", "lengths_k"), PACKS, ids=str)
def test_masks_equal_naive(
    name: str, window: int | None, lengths: list[int], lengths_k: list[int] | None
) -> None:
    """Packs that are no whole blocks, rows that see nothing, fewer query rows than key rows, grouped heads."""
    assert_equals_naive(Case(lengths, (4, 2), 16, lengths_k=lengths_k), PREDICATES[name], window)


@torch._dynamo.config.patch(recompile_limit=1)
def test_more_kinds_of_packs_than_torch_compiles_for_by_itself() -> None:
    """Then it gives up: eight usually, of what a process trains and validates with."""
    for blocks in (1, 2, 3):
        q, k, v = (t.detach() for t in Case([100 * blocks], (1, 1), 16).tensors())
        layout = Case([100 * blocks]).layout(predicate=block_causal(torch.arange(100 * blocks) % 5))
        out = attend(q, k, v, layout, "flex")
        torch.testing.assert_close(out, attend(q, k, v, layout, "dense"))


@pytest.mark.slow
def test_compiled_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert_equals_naive(Case([100, 29], (4, 2), 16), PREDICATES["hybrid"], None)


def test_in_a_compiled_graph() -> None:
    q, k, v = (t.detach() for t in Case([5, 3], (2, 2), 16).tensors())

    @torch.compile(fullgraph=True, backend="eager")
    def layer(cu: Tensor, group: Tensor) -> Tensor:
        return attend(q, k, v, AttentionLayout.build(cu, predicate=block_causal(group)), "flex")

    group = torch.arange(8) % 3
    expected = attend(q, k, v, Case([5, 3]).layout(predicate=block_causal(group)), "dense")
    torch.testing.assert_close(layer(offsets([5, 3]), group), expected)
