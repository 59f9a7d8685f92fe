"""The runs as one operator: what torch asks of operators, its gradients, and one graph for all lengths."""

from __future__ import annotations

import pytest
import torch
import torch._dynamo.testing
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.checkpoint import checkpoint

from maskmm.nn.attention import attend
from maskmm.nn.backends import written_out
from maskmm.nn.backends.runs_op import attend_runs_op
from maskmm.nn.layout import AttentionLayout, Run, runs_of
from tests.maskmm.nn.backends.cases import Case, assert_equals_naive, offsets


def by_operator(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, layout: AttentionLayout, *_: object
) -> torch.Tensor:
    return attend_runs_op(q, k, v, layout.cu_q, layout.cu_k)[0]


@pytest.mark.parametrize("lengths", [[1], [4, 4, 2, 2, 2, 5], [5, 0, 5], [0, 3, 0], [64, 65]], ids=str)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
def test_operator_equals_naive(lengths: list[int], dtype: torch.dtype) -> None:
    assert_equals_naive(Case(lengths, (3, 3), 16, dtype), "runs", run=by_operator)


def test_operator_with_other_query_rows() -> None:
    assert_equals_naive(Case([2, 1, 3, 0], lengths_k=[5, 3, 0, 2]), "runs", run=by_operator)


def test_rows_past_the_last_offset_are_zeros_with_zero_gradients() -> None:
    q, k, v = Case([9]).tensors()
    out = by_operator(q, k, v, AttentionLayout.build(offsets([2, 4, 0, 0])))
    assert not out[6:].any() and out[:6].any()
    for grad in torch.autograd.grad(out.square().sum(), [q, k, v]):
        assert not grad[6:].any() and bool(grad[:6].isfinite().all())


def test_operator_keeps_torchs_rules() -> None:
    cu = offsets([3, 3, 0, 5])
    found = torch.library.opcheck(attend_runs_op, (*Case([3, 3, 0, 5]).tensors(), cu, cu))
    assert found and set(found.values()) == {"SUCCESS"}


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_written_out_kernel_for_other_devices(dtype: torch.dtype) -> None:
    q, k, v = (t.view(2, 3, 5, 4).detach().requires_grad_() for t in Case([30], (1, 1), 4, dtype).tensors())
    out, lse = written_out.forward(q, k, v)
    expected = torch.nn.functional.scaled_dot_product_attention(q, k, v)
    torch.testing.assert_close(out, expected)
    grad = torch.randn_like(out)
    for got, want in zip(
        written_out.backward(grad, q, k, v, out, lse)[:3], torch.autograd.grad(expected, [q, k, v], grad)
    ):
        torch.testing.assert_close(got, want)


@pytest.mark.parametrize("width", [48, 64])
def test_written_out_scores_do_not_overflow(width: int) -> None:
    """Products of large queries and keys are beyond float16, their scaled scores are not."""
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(1, 2, 20, width, generator=generator) for _ in range(3))
    q, k, v = (60 * q).half(), (60 * k).half(), v.half()
    assert bool((q @ k.mT).isinf().any())
    out, lse = written_out.forward(q, k, v)
    expected = torch.nn.functional.scaled_dot_product_attention(q.double(), k.double(), v.double())
    torch.testing.assert_close(out.double(), expected, atol=3e-2, rtol=3e-2)
    grads = written_out.backward(torch.ones_like(out), q, k, v, out, lse)
    assert all(bool(grad.isfinite().all()) for grad in grads)


@given(
    lengths=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=12),
    heads=st.sampled_from([(1, 1), (4, 2)]),
    seed=st.integers(0, 9),
)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_runs_are_samples_one_by_one(
    lengths: list[tuple[int, int]], heads: tuple[int, int], seed: int
) -> None:
    """Grouping equal lengths changes nothing, whatever is empty."""
    case = Case([q for q, _ in lengths], heads, 8, lengths_k=[k for _, k in lengths])
    q, k, v = (t.detach() for t in case.tensors(seed))
    out = attend(q, k, v, case.layout(), "runs")
    start_q = start_k = 0
    for length_q, length_k in lengths:
        rows_q, rows_k = slice(start_q, start_q + length_q), slice(start_k, start_k + length_k)
        alone = torch.zeros(length_q, heads[0], 8)
        if length_q and length_k:
            one = (t.transpose(0, 1)[None] for t in (q[rows_q], k[rows_k], v[rows_k]))
            alone = torch.nn.functional.scaled_dot_product_attention(*one, enable_gqa=True)[0].transpose(0, 1)
        torch.testing.assert_close(out[rows_q], alone)
        start_q, start_k = start_q + length_q, start_k + length_k


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=15))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_runs_cover_every_row_once(lengths: list[tuple[int, int]]) -> None:
    cu_q, cu_k = (offsets([pair[i] for pair in lengths]).tolist() for i in (0, 1))
    runs = runs_of(cu_q, cu_k)
    assert [r.start_q for r in runs] == [
        sum(r.count * r.length_q for r in runs[:i]) for i in range(len(runs))
    ]
    assert [r.start_k for r in runs] == [
        sum(r.count * r.length_k for r in runs[:i]) for i in range(len(runs))
    ]
    assert sum(r.count * r.length_q for r in runs) == cu_q[-1]
    assert sum(r.count * r.length_k for r in runs) == cu_k[-1]
    assert all((a.length_q, a.length_k) != (b.length_q, b.length_k) for a, b in zip(runs, runs[1:]))


def test_runs_group_equal_lengths_and_skip_empty_samples() -> None:
    assert AttentionLayout.build(offsets([4, 4, 0, 4, 2])).runs == (Run(0, 0, 3, 4, 4), Run(12, 12, 1, 2, 2))


def test_one_graph_for_all_lengths() -> None:
    """Full and windowed layers, forward and backward: no break, no second compilation."""
    torch._dynamo.reset()
    counter = torch._dynamo.testing.CompileCounterWithBackend("aot_eager")
    project = torch.nn.Linear(8, 24)

    def layers(x: torch.Tensor, cu: torch.Tensor, backend: str = "auto") -> torch.Tensor:
        layout = AttentionLayout.build(cu, max_length=16)
        for window in (None, 3, None, 3):
            qkv = project(x).view(-1, 3, 2, 4).unbind(1)
            x = x + attend(*qkv, layout.with_window(window), backend).flatten(1)
        return x

    compiled = torch.compile(layers, fullgraph=True, backend=counter)
    for seed, lengths in enumerate(([5, 5, 0, 3, 7], [1, 2, 3, 4, 10], [16, 4, 0, 0, 0])):
        x = torch.randn(20, 8, generator=torch.Generator().manual_seed(seed))
        out, expected = compiled(x, offsets(lengths)), layers(x, offsets(lengths))
        torch.testing.assert_close(out, expected)
        (got,) = torch.autograd.grad(out.square().sum(), project.weight)
        (want,) = torch.autograd.grad(expected.square().sum(), project.weight)
        torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-4)
    assert counter.frame_count == 1


def test_checkpointed_blocks_compile() -> None:
    """A traced block that is run again in the backward may leave nothing behind in the layout."""
    torch._dynamo.reset()
    layout_rows, project = offsets([5, 5, 3, 7]), torch.nn.Linear(8, 24)

    def block(x: torch.Tensor, layout: AttentionLayout) -> torch.Tensor:
        return x + attend(*project(x).view(-1, 3, 2, 4).unbind(1), layout).flatten(1)

    def layers(x: torch.Tensor, cu: torch.Tensor) -> torch.Tensor:
        layout = AttentionLayout.build(cu, max_length=16)
        for window in (3, None, 3):
            x = checkpoint(block, x, layout.with_window(window), use_reentrant=False)
        return x

    x = torch.randn(20, 8, generator=torch.Generator().manual_seed(0))
    out = torch.compile(layers, fullgraph=True, backend="aot_eager")(x, layout_rows)
    torch.testing.assert_close(out, layers(x, layout_rows))
    out.sum().backward()
    assert project.weight.grad is not None and bool(project.weight.grad.any())
