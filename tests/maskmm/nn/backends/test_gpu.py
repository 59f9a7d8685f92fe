"""Backends on a CUDA device: against float32 on the same rows, with the pitfalls that packed kernels are known for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
import torch._dynamo.testing
from torch import Tensor

from maskmm.nn.attention import attend
from maskmm.nn.backends.base import Call
from maskmm.nn.backends.choice import choose
from maskmm.nn.bias.alibi import Alibi
from maskmm.nn.bias.base import BoundBias
from maskmm.nn.cache import KeyValueCache
from maskmm.nn.layout import AttentionLayout, Predicate
from maskmm.nn.structure import block_causal, hybrid, permutation
from tokenizers_vq.contract.described import path_of

pytestmark = pytest.mark.gpu

# Head width a multiple of 64 or not, T % 128 == 64, single rows, empty samples.
LENGTHS = [[64], [192, 64, 320], [1, 5, 200, 17, 129], [448], [0, 130, 0, 1, 61], [2048, 1]]
ERROR = {torch.bfloat16: (1e-2, 2e-2), torch.float16: (2e-3, 4e-3), torch.float32: (2e-5, 5e-5)}


@pytest.fixture(autouse=True)
def _exact_float32() -> Iterator[None]:
    """The float32 twin must not be computed in TensorFloat-32."""
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = False
    yield
    torch.backends.cuda.matmul.allow_tf32 = before
    torch._dynamo.reset()


def offsets(lengths: list[int]) -> Tensor:
    return torch.tensor([0, *torch.tensor(lengths, dtype=torch.int64).cumsum(0).tolist()], device="cuda")


def tensors(rows_q: int, rows_k: int, heads: tuple[int, int], width: int, dtype: torch.dtype) -> list[Tensor]:
    generator = torch.Generator("cuda").manual_seed(0)
    shapes = [(rows_q, heads[0]), (rows_k, heads[1]), (rows_k, heads[1])]
    made = [torch.randn(*s, width, device="cuda", generator=generator) for s in shapes]
    return [t.to(dtype).requires_grad_() for t in made]


def relative(got: Tensor, want: Tensor) -> float:
    assert got.isfinite().all()
    return float((got.float() - want.float()).norm() / want.float().norm().clamp(min=1e-6))


def excess(fast: list[Tensor], backend: str, layout: AttentionLayout, twin: AttentionLayout) -> float:
    """Largest error as a share of what is allowed: output and gradients against dense attention in float32."""
    slow = [t.detach().float().requires_grad_() for t in fast]
    out = attend(*fast, layout, backend)  # type: ignore[arg-type]
    expected = attend(*slow, twin, "dense")  # type: ignore[arg-type]
    weight = torch.randn(out.shape, device="cuda", generator=torch.Generator("cuda").manual_seed(1))
    got = torch.autograd.grad((out.float() * weight).sum(), fast)
    want = torch.autograd.grad((expected * weight).sum(), slow)
    forward, backward = ERROR[out.dtype]
    errors = [relative(out, expected) / forward, *(relative(g, w) / backward for g, w in zip(got, want))]
    return max(errors)


def excess_of(
    backend: str,
    lengths: list[int],
    dtype: torch.dtype,
    heads: tuple[int, int] = (4, 4),
    width: int = 64,
    window: int | None = None,
    predicate: Predicate | None = None,
    lengths_k: list[int] | None = None,
) -> float:
    """`excess` of random rows."""
    cu_q, cu_k = offsets(lengths), None if lengths_k is None else offsets(lengths_k)
    layout = AttentionLayout.build(cu_q, cu_k, window=window, predicate=predicate)
    fast = tensors(sum(lengths), sum(lengths_k or lengths), heads, width, dtype)
    return excess(fast, backend, layout, layout)


@pytest.mark.parametrize("lengths", LENGTHS, ids=str)
@pytest.mark.parametrize("window", [None, 16, 64])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_varlen(lengths: list[int], window: int | None, dtype: torch.dtype) -> None:
    assert excess_of("varlen", lengths, dtype, window=window) < 1


@pytest.mark.parametrize("width", [32, 40, 64, 96, 128])
@pytest.mark.parametrize("heads", [(1, 1), (4, 2), (4, 1), (12, 4)], ids=str)
@pytest.mark.parametrize("window", [None, 16])
def test_varlen_heads_and_widths(width: int, heads: tuple[int, int], window: int | None) -> None:
    assert excess_of("varlen", [192, 64, 7], torch.bfloat16, heads, width, window) < 1


@pytest.mark.parametrize("window", [None, 16])
def test_varlen_with_other_query_rows(window: int | None) -> None:
    """Fewer query rows than key rows are the sample's last ones, as the kernel has it."""
    assert excess_of("varlen", [20, 1, 0, 64], torch.bfloat16, window=window, lengths_k=[200, 65, 3, 64]) < 1


@pytest.mark.parametrize("backend", ["varlen", "runs", "dense"])
def test_samples_without_keys_get_zeros(backend: str) -> None:
    """More rows than cuDNN's kernel begins at, which gave NaN here up to cuDNN 9.24."""
    layout = AttentionLayout.build(offsets([3, 200, 0]), offsets([0, 300, 7]))
    q, k, v = tensors(203, 307, (2, 2), 64, torch.bfloat16)
    out = attend(q, k, v, layout, backend)
    assert not out[:3].any() and out[3:].any()
    for grad in torch.autograd.grad(out.float().square().sum(), [q, k, v]):
        assert grad.isfinite().all()


@pytest.mark.parametrize("backend", ["varlen", "auto"])
@pytest.mark.parametrize("window", [None, 16])
def test_tail_of_a_fixed_size_pack(backend: str, window: int | None) -> None:
    """The rows that fill up a pack are a sample of their own and offsets repeat the last: no NaN anywhere."""
    lengths = [300, 150, 512 - 450, 0, 0, 0]
    layout = AttentionLayout.build(offsets(lengths), max_length=512, window=window)
    leaves = tensors(512, 512, (4, 4), 64, torch.bfloat16)
    twin = AttentionLayout.build(offsets(lengths), window=window)
    assert excess(leaves, backend, layout, twin) < 1


@pytest.mark.parametrize(("heads", "width"), [(4, 64), (3, 40), (1, 8), (5, 24)])
@pytest.mark.parametrize("shift", [0, 1, 4])
@pytest.mark.parametrize("backend", ["varlen", "runs"])
def test_unaligned_views_of_a_fused_projection(heads: int, width: int, shift: int, backend: str) -> None:
    """Row strides and base addresses that are no multiple of 16 bytes."""
    lengths = [192, 64, 5]
    generator = torch.Generator("cuda").manual_seed(0)
    fused = torch.randn(sum(lengths), 3 * heads * width + shift, device="cuda", generator=generator)
    fused = fused.bfloat16().requires_grad_()
    q, k, v = fused[:, shift:].unflatten(1, (3, heads, width)).unbind(1)
    layout = AttentionLayout.build(offsets(lengths))
    out = attend(q, k, v, layout, backend)
    slow = fused.detach().float().requires_grad_()
    twin = attend(*slow[:, shift:].unflatten(1, (3, heads, width)).unbind(1), layout, "dense")
    weight = torch.randn(out.shape, device="cuda", generator=generator)
    (grad,) = torch.autograd.grad((out.float() * weight).sum(), fused)
    (expected,) = torch.autograd.grad((twin * weight).sum(), slow)
    assert relative(out, twin) < 1e-2 and relative(grad, expected) < 2e-2


@pytest.mark.parametrize("backend", ["runs", "dense"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("lengths", [[64, 192], [1, 5, 200, 17, 129]], ids=str)
def test_fallbacks(backend: str, dtype: torch.dtype, lengths: list[int]) -> None:
    assert excess_of(backend, lengths, dtype, (4, 2)) < 1


@pytest.mark.parametrize("backend", ["blocks", "dense"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("lengths", [[64], [192], [1, 5, 200, 17, 129], [1000]], ids=str)
@pytest.mark.parametrize("window", [5, 64])
def test_masked_fallbacks(backend: str, dtype: torch.dtype, lengths: list[int], window: int) -> None:
    """cuDNN's kernel with a mask had NaN gradients where the query rows are 64 modulo 128."""
    assert excess_of(backend, lengths, dtype, (4, 2), window=window) < 1


def orders(num_rows: int) -> Tensor:
    return torch.randint(0, 5, (num_rows,), device="cuda", generator=torch.Generator("cuda").manual_seed(3))


@pytest.mark.parametrize("kind", ["permutation", "query stream", "hybrid"])
@pytest.mark.parametrize("lengths", [[192, 64], [1, 5, 200, 17, 129]], ids=str)
@pytest.mark.parametrize("heads", [(4, 4), (4, 2)], ids=str)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32], ids=str)
def test_flex(kind: str, lengths: list[int], heads: tuple[int, int], dtype: torch.dtype) -> None:
    """Rows that may attend to nothing are among them; packs that are no multiple of 128 rows too."""
    order = orders(sum(lengths))
    predicate = {
        "permutation": permutation(order),
        "query stream": permutation(order, sees_itself=False),
        "hybrid": hybrid(order, sees_later=True),
    }[kind]
    assert excess_of("flex", lengths, dtype, heads, predicate=predicate) < 1


def test_flex_with_a_window_and_other_query_rows() -> None:
    assert excess_of("flex", [192, 65], torch.bfloat16, window=9, predicate=block_causal(orders(257))) < 1
    order_q, order_k = orders(60), orders(300)
    predicate = permutation(order_q, order_k)
    assert excess_of("flex", [50, 10], torch.bfloat16, predicate=predicate, lengths_k=[200, 100]) < 1


def test_auto_takes_flex_for_predicates_and_varlen_else() -> None:
    layout = AttentionLayout.build(offsets([8]))
    call = Call("cuda", torch.bfloat16, 64, needs_grad=True, has_bias=False, layout=layout)
    assert choose("auto", call).name == "varlen"
    restricted = AttentionLayout.build(offsets([8]), predicate=block_causal(orders(8)))
    q, k, v = tensors(8, 8, (2, 2), 64, torch.bfloat16)
    torch.testing.assert_close(attend(q, k, v, restricted), attend(q, k, v, restricted, "flex"))


def test_flash_attn_package() -> None:
    pytest.importorskip("flash_attn")
    for window in (None, 16):
        assert excess_of("flash", [192, 64, 7], torch.bfloat16, (4, 2), window=window) < 1


def test_autocast_casts_float32_queries_back() -> None:
    q, k, v = tensors(32, 32, (4, 4), 64, torch.float32)
    with torch.autocast("cuda", torch.bfloat16):
        out = attend(q, k, v.bfloat16(), AttentionLayout.build(offsets([20, 12])), "varlen")
    assert out.dtype == torch.bfloat16
    out.float().sum().backward()
    assert q.grad is not None and q.grad.dtype == torch.float32


def test_a_configured_bound_needs_nothing_from_the_device() -> None:
    cu = offsets([300, 150, 62]).int()
    q, k, v = tensors(512, 512, (4, 4), 64, torch.bfloat16)
    attend(q, k, v, AttentionLayout.build(cu, max_length=512))
    torch.cuda.set_sync_debug_mode("error")
    try:
        layout = AttentionLayout.build(cu, max_length=512)
        for window in (None, 16):
            attend(q, k, v, layout.with_window(window)).sum().backward()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert all(t.grad is not None and t.grad.isfinite().all() for t in (q, k, v))


def test_compiled_layers_neither_break_nor_compile_again() -> None:
    """Full, windowed and grouped-query layers under autocast over 20 batches of other lengths."""
    project = torch.nn.Linear(128, 256, device="cuda")
    counter = torch._dynamo.testing.CompileCounterWithBackend("inductor")

    def layers(x: Tensor, cu: Tensor) -> Tensor:
        layout = AttentionLayout.build(cu, max_length=512)
        for window in (None, 16):
            q, k, v = project(x).view(-1, 8, 32).split([4, 2, 2], dim=1)
            x = x + attend(q, k, v, layout.with_window(window)).flatten(1)
        return x

    compiled = torch.compile(layers, fullgraph=True, backend=counter)
    for seed in range(20):
        cuts = torch.randperm(511, generator=torch.Generator().manual_seed(seed))[:5].sort().values + 1
        cu = torch.cat([torch.tensor([0]), cuts, torch.tensor([512, 512])]).cuda()
        x = torch.randn(512, 128, device="cuda")
        with torch.autocast("cuda", torch.bfloat16):
            out, expected = compiled(x, cu), layers(x, cu)
        assert relative(out, expected) < 1e-2
        (got,) = torch.autograd.grad(out.float().square().sum(), project.weight)
        (want,) = torch.autograd.grad(expected.float().square().sum(), project.weight)
        assert relative(got, want) < 3e-2
    assert counter.frame_count == 1


@pytest.mark.parametrize("has_bias", [False, True])
def test_compiled_layers_that_read_lengths(has_bias: bool) -> None:
    """float32, and an additive bias: operators that are given copies of the offsets in the host's memory."""
    project = torch.nn.Linear(128, 384, device="cuda")
    table = torch.full((1, 4), 0.1, device="cuda")
    counter = torch._dynamo.testing.CompileCounterWithBackend("inductor")

    def layers(x: Tensor, cu: Tensor) -> Tensor:
        layout = AttentionLayout.build(cu, max_length=512)
        bias = BoundBias(path_of(Alibi), torch.arange(512, device="cuda")[:, None], table)
        for _ in range(2):
            q, k, v = project(x).view(-1, 12, 32).split([4, 4, 4], dim=1)
            x = x + attend(q, k, v, layout, bias=bias if has_bias else None).flatten(1)
        return x

    compiled = torch.compile(layers, fullgraph=True, backend=counter)
    for lengths in ([512, 0, 0], [100, 100, 312], [1, 64, 447]):
        x = torch.randn(512, 128, device="cuda")
        out, expected = compiled(x, offsets(lengths)), layers(x, offsets(lengths))
        assert relative(out, expected) < 1e-4
        (got,) = torch.autograd.grad(out.square().sum(), project.weight)
        (want,) = torch.autograd.grad(expected.square().sum(), project.weight)
        assert relative(got, want) < 1e-3
    assert counter.frame_count == 1


def test_cached_steps_equal_one_block_causal_pass() -> None:
    q, k, v = (t.detach() for t in tensors(300, 300, (4, 2), 64, torch.bfloat16))
    cache, outputs = KeyValueCache(), []
    for start in range(0, 300, 100):
        rows = slice(start, start + 100)
        outputs.append(attend(q[rows], k[rows], v[rows], cache.step(offsets([100]))))
    group = torch.arange(300, device="cuda") // 100
    layout = AttentionLayout.build(offsets([300]), predicate=block_causal(group))
    expected = attend(q.float(), k.float(), v.float(), layout, "dense")
    assert relative(torch.cat(outputs), expected) < 1e-2
