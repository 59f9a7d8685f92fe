"""Packed attention against the naive twin: forward, gradient, windows, predicates, other query rows, CUDA."""

from __future__ import annotations

import pytest
import torch

from maskmm.nn.attention import attend
from maskmm.nn.layout import AttentionLayout, Run
from maskmm.nn.rotary import AxialRotary, _rotate_real, rotate
from tests.reference.naive_attention import naive_attend


def offsets(lengths: list[int]) -> torch.Tensor:
    return torch.tensor([0, *torch.tensor(lengths).cumsum(0).tolist()])


def rows(n: int, heads: int = 2, width: int = 8, seed: int = 0) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(n, heads, width, generator=generator, requires_grad=True) for _ in range(3)]


@pytest.mark.parametrize("lengths", [[3], [1, 1, 1], [4, 4, 2, 2, 2, 5], [5, 0, 5], [7, 1, 3]])
def test_attend_equals_naive_forward_and_gradient(lengths: list[int]) -> None:
    cu = offsets(lengths)
    q, k, v = rows(sum(lengths))
    out = attend(q, k, v, AttentionLayout.build(cu))
    expected = naive_attend(q, k, v, cu.tolist(), cu.tolist())
    torch.testing.assert_close(out.double(), expected, atol=1e-5, rtol=1e-5)
    weight = torch.randn(out.shape, generator=torch.Generator().manual_seed(1))
    got = torch.autograd.grad((out * weight).sum(), [q, k, v])
    want = torch.autograd.grad((expected * weight).sum(), [q, k, v])
    for g, w in zip(got, want):
        torch.testing.assert_close(g, w, atol=1e-4, rtol=1e-4)


def test_query_rows_may_differ_from_key_rows() -> None:
    cu_q, cu_k = offsets([2, 1, 0]), offsets([5, 3, 2])
    q = rows(3)[0]
    _, k, v = rows(10, seed=1)
    out = attend(q, k, v, AttentionLayout.build(cu_q, cu_k))
    torch.testing.assert_close(
        out.double(), naive_attend(q, k, v, cu_q.tolist(), cu_k.tolist()), atol=1e-5, rtol=1e-5
    )


def test_window_and_predicate() -> None:
    cu = offsets([6, 4, 4])
    q, k, v = rows(14)
    window = attend(q, k, v, AttentionLayout.build(cu, window=1))
    near = naive_attend(q, k, v, cu.tolist(), cu.tolist(), lambda i, j, a, b: abs(i - j) <= 1)
    torch.testing.assert_close(window.double(), near, atol=1e-5, rtol=1e-5)
    causal = attend(q, k, v, AttentionLayout.build(cu, predicate=lambda row_q, row_k: row_k <= row_q))
    past = naive_attend(q, k, v, cu.tolist(), cu.tolist(), lambda i, j, a, b: b <= a)
    torch.testing.assert_close(causal.double(), past, atol=1e-5, rtol=1e-5)


def test_samples_do_not_see_each_other() -> None:
    cu = offsets([3, 4])
    q, k, v = rows(7)
    before = attend(q, k, v, AttentionLayout.build(cu))[:3]
    changed = v.detach().clone()
    changed[3:] += 100
    torch.testing.assert_close(attend(q, k, changed, AttentionLayout.build(cu))[:3], before)


def test_runs_group_equal_lengths_and_skip_empty_samples() -> None:
    layout = AttentionLayout.build(offsets([4, 4, 0, 4, 2]))
    assert layout.runs == (Run(0, 0, 3, 4, 4), Run(12, 12, 1, 2, 2))
    assert layout.longest == (4, 4)


def test_bad_layouts_and_backends() -> None:
    with pytest.raises(ValueError, match="different batches"):
        AttentionLayout.build(offsets([1]), offsets([1, 2]))
    with pytest.raises(ValueError, match="window=-1"):
        AttentionLayout.build(offsets([1]), window=-1)
    q, k, v = rows(3)
    with pytest.raises(ValueError, match="backend 'flash'"):
        attend(q, k, v, AttentionLayout.build(offsets([3])), backend="flash")
    with pytest.raises(ValueError, match="cannot run here"):
        attend(q, k, v, AttentionLayout.build(offsets([3])), backend="varlen")


def test_complex_rotation_equals_real_rotation() -> None:
    position = torch.randint(0, 9, (11, 3), generator=torch.Generator().manual_seed(0))
    cos, sin = AxialRotary(12, 3, 100.0)(position)
    x = torch.randn(11, 2, 12, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(rotate(x, cos, sin), _rotate_real(x.unflatten(-1, (6, 2)), cos, sin))


def test_rotation_makes_scores_depend_on_distance_alone() -> None:
    rotary = AxialRotary(12, 2, 100.0)
    q, k = torch.randn(2, 1, 1, 12, generator=torch.Generator().manual_seed(0)).unbind()

    def score(at_q: list[int], at_k: list[int]) -> torch.Tensor:
        turned = [rotate(x, *rotary(torch.tensor([at]))) for x, at in ((q, at_q), (k, at_k))]
        return (turned[0] * turned[1]).sum()

    torch.testing.assert_close(score([3, 5], [1, 2]), score([7, 4], [5, 1]))
    assert not torch.allclose(score([3, 5], [1, 2]), score([3, 5], [2, 2]))


def test_head_too_narrow_for_the_axes() -> None:
    with pytest.raises(ValueError, match="head width 4"):
        AxialRotary(4, 3, 100.0)


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("lengths", [[64], [192, 64, 320], [1, 5, 200, 17, 129], [448]])
@pytest.mark.parametrize("window", [None, 16])
def test_varlen_equals_float32_runs_forward_and_gradient(
    dtype: torch.dtype, lengths: list[int], window: int | None
) -> None:
    # q, k and v are views of one fused projection, as in the block: strided rows.
    cu = offsets(lengths).cuda()
    generator = torch.Generator("cuda").manual_seed(0)
    fused = torch.randn(sum(lengths), 3, 4, 64, device="cuda", generator=generator)
    fast = fused.to(dtype).requires_grad_()
    slow = fast.detach().float().requires_grad_()
    out = attend(*fast.unbind(1), AttentionLayout.build(cu, window=window), backend="varlen")
    expected = attend(*slow.unbind(1), AttentionLayout.build(cu, window=window), backend="runs")
    weight = torch.randn(out.shape, device="cuda", generator=generator)
    (grad,) = torch.autograd.grad((out.float() * weight).sum(), fast)
    (expected_grad,) = torch.autograd.grad((expected * weight).sum(), slow)
    assert torch.isfinite(grad).all()
    assert (out.float() - expected).norm() / expected.norm() < 1e-2
    assert (grad.float() - expected_grad).norm() / expected_grad.norm() < 2e-2


@pytest.mark.gpu
def test_autocast_casts_float32_queries_back() -> None:
    q, k, v = (t.detach().cuda() for t in rows(32, width=64))
    with torch.autocast("cuda", torch.bfloat16):
        out = attend(q, k, v, AttentionLayout.build(offsets([20, 12]).cuda()))
    assert out.dtype == torch.bfloat16
