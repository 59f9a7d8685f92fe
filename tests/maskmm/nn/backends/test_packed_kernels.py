"""What the packed CUDA kernels get, without a GPU: stand-ins of their signatures, and torch's on meta tensors."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.attention import varlen

from maskmm.nn.attention import attend
from maskmm.nn.backends.varlen import CUDNN_WITH_EMPTY_SAMPLES, VARLEN
from maskmm.nn.layout import AttentionLayout
from tests.maskmm.nn.backends.cases import Case, assert_equals_naive, offsets
from tests.reference.naive_attention import naive_attend

BACKENDS = ["varlen", "flash"]
Arguments = dict[str, Any]


def flash_attn_varlen_func(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    cu_seqlens_q: Tensor,
    cu_seqlens_k: Tensor,
    max_seqlen_q: int,
    max_seqlen_k: int,
    dropout_p: float = 0.0,
    softmax_scale: float | None = None,
    causal: bool = False,
    window_size: tuple[int, int] = (-1, -1),
) -> Tensor:
    """The flash-attn package's function as far as we use it, row by row."""
    assert (dropout_p, softmax_scale, causal) == (0.0, None, False)
    return naive(q, k, v, cu_seqlens_q, cu_seqlens_k, window_size)


def naive(q: Tensor, k: Tensor, v: Tensor, cu_q: Tensor, cu_k: Tensor, window: tuple[int, int]) -> Tensor:
    left, right = window

    def may_attend(i: int, j: int, *_: int) -> bool:
        return (left < 0 or i - j <= left) and (right < 0 or j - i <= right)

    return naive_attend(q, k, v, cu_q.tolist(), cu_k.tolist(), may_attend).to(q.dtype)


def stand_in(real: Callable[..., Tensor], calls: list[Arguments]) -> Callable[..., Tensor]:
    """Computes what `real` is documented to, row by row, and holds its caller to its rules."""
    signature = inspect.signature(real)

    def kernel(*args: Any, **kwargs: Any) -> Tensor:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        given = bound.arguments
        calls.append(given)
        q, k, v, cu_q, cu_k, longest_q, longest_k = list(given.values())[:7]
        assert cu_q.dtype == cu_k.dtype == torch.int32 and all(t.is_contiguous() for t in (q, k, v))
        assert longest_q >= int(cu_q.diff().max()) and longest_k >= int(cu_k.diff().max())
        assert given.get("enable_gqa", True) or q.shape[1] == k.shape[1]
        return naive(q, k, v, cu_q, cu_k, given["window_size"])

    kernel.__signature__ = signature  # type: ignore[attr-defined]
    return kernel


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Arguments]:
    """Arguments of each call of a packed kernel; both backends run on this machine."""
    found: list[Arguments] = []
    package = ModuleType("flash_attn")
    package.flash_attn_varlen_func = stand_in(flash_attn_varlen_func, found)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "flash_attn", package)
    monkeypatch.setattr("maskmm.nn.backends.flash._why_not_imported", lambda: None)
    monkeypatch.setattr(varlen, "varlen_attn", stand_in(varlen.varlen_attn, found))
    for module in BACKENDS:
        monkeypatch.setattr(f"maskmm.nn.backends.{module}.varlen_obstacle", lambda *_: None)
    return found


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("window", [None, 0, 2, 50])
@pytest.mark.parametrize("heads", [(2, 2), (4, 2)], ids=str)
@pytest.mark.parametrize(
    ("lengths", "lengths_k"),
    [([4, 0, 7, 1], None), ([2, 1, 0, 3], [7, 3, 2, 3]), ([2, 3], [0, 4])],
    ids=str,
)
def test_packed_kernels_equal_naive(
    calls: list[Arguments],
    backend: str,
    window: int | None,
    heads: tuple[int, int],
    lengths: list[int],
    lengths_k: list[int] | None,
) -> None:
    assert_equals_naive(Case(lengths, heads, lengths_k=lengths_k), backend, window)
    assert len(calls) == 1


@pytest.mark.parametrize("backend", BACKENDS)
def test_bounds_are_the_configured_ones(calls: list[Arguments], backend: str) -> None:
    q, k, v = Case([3, 5]).tensors()
    for bound, expected in ((None, 5), (9, 9)):
        attend(q, k, v, AttentionLayout.build(offsets([3, 5]), max_length=bound), backend)
        assert list(calls[-1].values())[5:7] == [expected, expected]


@pytest.mark.parametrize(("version", "window"), [(92400, 9), (CUDNN_WITH_EMPTY_SAMPLES, -1), (None, -1)])
def test_cudnn_is_kept_from_packs_it_cannot_take(
    calls: list[Arguments], monkeypatch: pytest.MonkeyPatch, version: int | None, window: int
) -> None:
    """A window over everything is full attention to FlashAttention, and none that cuDNN is asked for."""
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: version)
    q, k, v = Case([3, 5]).tensors()
    attend(q, k, v, AttentionLayout.build(offsets([3, 5]), max_length=9), "varlen")
    assert calls[-1]["window_size"] == (window, window)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("lengths", [[], [0, 0]], ids=str)
def test_no_rows_start_no_kernel(calls: list[Arguments], backend: str, lengths: list[int]) -> None:
    q, k, v = Case(lengths).tensors()
    for layout in (Case(lengths).layout(), Case(lengths).layout(window=2)):
        assert attend(q, k, v, layout, backend).shape == q.shape
    assert not calls


@pytest.mark.usefixtures("calls")
@pytest.mark.parametrize("window", [None, 2])
def test_the_flash_attn_package_stays_in_one_graph(
    monkeypatch: pytest.MonkeyPatch, window: int | None
) -> None:
    monkeypatch.setattr(sys.modules["flash_attn"], "flash_attn_varlen_func", lambda q, *_, **__: 2 * q)
    torch._dynamo.reset()

    @torch.compile(fullgraph=True, backend="aot_eager")
    def layer(x: Tensor, cu: Tensor) -> Tensor:
        return attend(x, x, x, AttentionLayout.build(cu, max_length=9, window=window), "flash")

    x = torch.randn(8, 2, 8)
    torch.testing.assert_close(layer(x, offsets([3, 5])), 2 * x)


@pytest.mark.parametrize("window", [None, 4])
@pytest.mark.parametrize("heads", [(4, 4), (4, 2)], ids=str)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_torchs_kernel_takes_what_it_is_given(
    window: int | None, heads: tuple[int, int], dtype: torch.dtype
) -> None:
    """Its own operator on tensors without values: schema, shapes and dtypes of the output and of the gradients."""
    fused = torch.empty(12, sum(heads) + heads[1], 64, device="meta", dtype=dtype, requires_grad=True)
    cu = torch.empty(4, dtype=torch.int64, device="meta")
    layout = AttentionLayout.build(cu, max_length=8, window=window)
    q, k, v = fused.split([heads[0], heads[1], heads[1]], dim=1)
    out = VARLEN.attend(q, k, v, layout, None)
    (grad,) = torch.autograd.grad(out.float().sum(), fused)
    assert out.shape == (12, heads[0], 64) and out.dtype == dtype
    assert grad.shape == fused.shape and grad.dtype == dtype
