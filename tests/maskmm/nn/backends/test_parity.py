"""Every backend that runs on the CPU against the naive twin, forward and gradient."""

from __future__ import annotations

import pytest
import torch

from maskmm.nn.attention import attend
from maskmm.nn.layout import AttentionLayout
from maskmm.nn.structure import block_causal, both, hybrid, nearby, permutation
from tests.maskmm.nn.backends.cases import Case, assert_equals_naive, naive, offsets, table_bias

LENGTHS = [[1], [3], [1, 1, 1], [4, 4, 2, 2, 2, 5], [5, 0, 5], [0, 3, 0], [7, 1, 3, 7], [64, 64], [63, 65]]
HEADS = [(1, 1), (3, 3), (4, 2), (4, 1)]
DTYPES = [torch.float64, torch.float32, torch.bfloat16, torch.float16]


@pytest.mark.parametrize("backend", ["auto", "runs", "dense"])
@pytest.mark.parametrize("lengths", LENGTHS, ids=str)
def test_lengths(backend: str, lengths: list[int]) -> None:
    assert_equals_naive(Case(lengths), backend)


@pytest.mark.parametrize("backend", ["runs", "dense"])
@pytest.mark.parametrize("heads", HEADS, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("width", [5, 16])
def test_heads_dtypes_and_widths(
    backend: str, heads: tuple[int, int], dtype: torch.dtype, width: int
) -> None:
    assert_equals_naive(Case([4, 4, 3, 6], heads, width, dtype), backend)


@pytest.mark.parametrize("backend", ["auto", "blocks", "dense"])
@pytest.mark.parametrize("window", [0, 1, 5, 64, 1000])
@pytest.mark.parametrize("lengths", [[1], [3, 1, 7], [5, 0, 5], [31, 33, 1, 64], [130, 2]], ids=str)
def test_windows_are_exact_at_the_borders_of_samples(backend: str, window: int, lengths: list[int]) -> None:
    assert_equals_naive(Case(lengths), backend, window=window)


@pytest.mark.parametrize("heads", HEADS, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_windows_with_heads_and_dtypes(heads: tuple[int, int], dtype: torch.dtype) -> None:
    assert_equals_naive(Case([50, 3, 20], heads, 16, dtype), "blocks", window=4)


@pytest.mark.parametrize("backend", ["auto", "runs", "dense"])
@pytest.mark.parametrize("lengths_q", [[2, 1, 0], [1, 1, 1], [0, 0, 2], [6, 3, 1]], ids=str)
@pytest.mark.parametrize("lengths_k", [[5, 3, 2], [0, 3, 3]], ids=str)
def test_other_query_rows_than_key_rows(backend: str, lengths_q: list[int], lengths_k: list[int]) -> None:
    """Rows of a sample without keys get zeros, and no gradient that is not a number."""
    assert_equals_naive(Case(lengths_q, (4, 2), lengths_k=lengths_k), backend)


def test_query_rows_are_the_last_ones_in_a_window() -> None:
    assert_equals_naive(Case([2, 1, 0, 3], lengths_k=[7, 3, 2, 3]), "auto", window=1)


ORDER = torch.tensor([0, 3, 1, 0, 2, 1, 2, 0, 4, 1, 3, 3, 0])
PREDICATES = {
    "permutation": permutation(ORDER),
    "query stream": permutation(ORDER, sees_itself=False),
    "block-causal": block_causal(ORDER),
    "hybrid": hybrid(ORDER),
    "hybrid, later": hybrid(ORDER, sees_later=True),
    "both": both(block_causal(ORDER), nearby(torch.arange(13) % 5, 2)),
}


@pytest.mark.parametrize("name", PREDICATES)
@pytest.mark.parametrize("window", [None, 2])
@pytest.mark.parametrize("heads", [(2, 2), (4, 2)], ids=str)
def test_predicates(name: str, window: int | None, heads: tuple[int, int]) -> None:
    """The query stream has rows that may attend to nothing."""
    assert_equals_naive(Case([6, 4, 3], heads), "dense", window, PREDICATES[name])
    assert_equals_naive(Case([13], heads), "auto", window, PREDICATES[name])


@pytest.mark.parametrize("window", [None, 2])
@pytest.mark.parametrize("name", [None, "permutation", "query stream"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
def test_additive_bias_and_its_gradient(window: int | None, name: str | None, dtype: torch.dtype) -> None:
    bias = torch.randn(4, 13, 13, generator=torch.Generator().manual_seed(2)).to(dtype).requires_grad_()
    predicate = None if name is None else PREDICATES[name]
    for backend in ("auto", "dense"):
        assert_equals_naive(Case([4, 4, 5], (4, 2), dtype=dtype), backend, window, predicate, bias)


def test_bias_of_other_query_rows() -> None:
    bias = torch.randn(2, 3, 10, requires_grad=True)
    assert_equals_naive(Case([2, 1, 0], lengths_k=[5, 3, 2]), "auto", bias=bias)


@pytest.mark.parametrize(("backend", "window"), [("runs", None), ("dense", 3), ("blocks", 3)])
def test_views_of_a_fused_projection(backend: str, window: int | None) -> None:
    """Strided rows, as a block hands them over, give what contiguous ones give."""
    layout = AttentionLayout.build(offsets([7, 7, 2]), window=window)
    fused = torch.randn(16, 3, 2, 6, requires_grad=True)
    views = attend(*fused.unbind(1), layout, backend)
    copies = attend(*(t.contiguous() for t in fused.unbind(1)), layout, backend)
    torch.testing.assert_close(views, copies)
    (grad,) = torch.autograd.grad(views.square().sum(), fused)
    (expected,) = torch.autograd.grad(copies.square().sum(), fused)
    torch.testing.assert_close(grad, expected)


@pytest.mark.parametrize(("backend", "window"), [("runs", None), ("dense", 3), ("blocks", 3)])
def test_autocast_casts_what_norms_left_in_float32(backend: str, window: int | None) -> None:
    q, k, v = Case([5, 8], dtype=torch.float32).tensors()
    layout = AttentionLayout.build(offsets([5, 8]), window=window)
    with torch.autocast("cpu", torch.bfloat16):
        out = attend(q, k.bfloat16(), v, layout, backend)
    assert out.dtype == torch.bfloat16
    expected = attend(q.bfloat16(), k.bfloat16(), v.bfloat16(), layout, backend)
    assert torch.equal(out, expected)


def test_autocast_leaves_float64_as_linear_layers_do() -> None:
    q, k, v = Case([5, 8], dtype=torch.float64).tensors()
    with torch.autocast("cpu", torch.bfloat16):
        out = attend(q, k, v, AttentionLayout.build(offsets([5, 8])))
    torch.testing.assert_close(out, attend(q, k, v, AttentionLayout.build(offsets([5, 8]))))


@pytest.mark.parametrize(("backend", "window"), [("runs", None), ("dense", 3), ("blocks", 3)])
def test_samples_do_not_see_each_other(backend: str, window: int | None) -> None:
    """The tail that fills up a pack may hold anything, in a sample of its own."""
    q, k, v = (t.detach() for t in Case([6, 10]).tensors())
    layout = AttentionLayout.build(offsets([6, 10]), window=window)
    before = attend(q, k, v, layout, backend)
    for t in (k, v):
        t[6:] += 100
    torch.testing.assert_close(attend(q, k, v, layout, backend)[:6], before[:6], rtol=0, atol=0)


@pytest.mark.parametrize(("backend", "window"), [("runs", None), ("dense", None), ("blocks", 3)])
@pytest.mark.parametrize("lengths", [[6], [6, 0, 5]], ids=str)
def test_rows_that_no_sample_owns_are_an_error(backend: str, window: int | None, lengths: list[int]) -> None:
    q, k, v = Case([6, 4]).tensors()
    covered = sum(lengths)
    with pytest.raises(ValueError, match=f"covers {covered} query and {covered} key rows, given 10 and 10"):
        attend(q, k, v, AttentionLayout.build(offsets(lengths), window=window), backend)


def test_tensors_of_other_shapes() -> None:
    """A batch axis, as SDPA has one, and values that are not as wide as keys, which not every kernel takes."""
    q, k, v = Case([6]).tensors()
    layout = AttentionLayout.build(offsets([6]))
    for bad in ((q[None], k[None], v[None]), (q, k, v[..., :4]), (q, k[..., :4], v[..., :4]), (q, k, v[:5])):
        with pytest.raises(ValueError, match=r"expected \(N, H, K\) and twice \(M, G, K\): packed rows"):
            attend(*bad, layout)


def test_head_counts_that_do_not_divide() -> None:
    q, k, v = Case([6], (4, 3)).tensors()
    with pytest.raises(ValueError, match="4 query heads over 3 key heads"):
        attend(q, k, v, AttentionLayout.build(offsets([6])))


def test_dense_holds_few_scores_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Equal lengths are taken in parts: 3 samples of 2 heads and 16 pairs where 100 scores may be held."""
    monkeypatch.setattr("maskmm.nn.backends.pieces.MAX_SCORES", 100)
    sizes = []
    bias = torch.randn(2, 32, 32)

    def spy(rows_q: torch.Tensor, rows_k: torch.Tensor) -> torch.Tensor:
        sizes.append(rows_q.shape[0])
        return table_bias(bias)(rows_q, rows_k)

    case = Case([4] * 8)
    q, k, v = case.tensors()
    out = attend(q, k, v, case.layout(), "dense", spy)
    assert sizes == [3, 3, 2]
    expected = naive(case, q, k, v, case.layout(), bias)
    torch.testing.assert_close(out.double(), expected, atol=1e-5, rtol=1e-5)
