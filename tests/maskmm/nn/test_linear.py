"""Linear layers through oneDNN: torch's own numbers, whatever the processor's maker."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from maskmm.nn import linear as module
from maskmm.nn.linear import Linear, linear, linear_op

SHAPES = [(1, 128, 128), (7, 96, 200), (130, 300, 64), (64, 33, 513)]

pytestmark = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="torch without oneDNN")


@pytest.fixture
def onednn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "is_onednn_faster", lambda: True)


def operands(rows: int, inputs: int, outputs: int) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(rows)
    x, weight, bias = (
        torch.randn(shape, generator=generator) for shape in ((rows, inputs), (outputs, inputs), (outputs,))
    )
    return x.requires_grad_(), weight.requires_grad_(), bias.requires_grad_()


@pytest.mark.usefixtures("onednn")
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("has_bias", [True, False])
def test_values_and_gradients_are_those_of_torch(shape: tuple[int, int, int], has_bias: bool) -> None:
    x, weight, bias = operands(*shape)
    given = (x, weight, bias) if has_bias else (x, weight)
    ours, theirs = linear(*given), F.linear(*given)
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)
    with torch.no_grad():
        assert torch.equal(linear(*given), ours)
    seed = torch.randn(ours.shape)
    for one, other in zip(torch.autograd.grad(ours, given, seed), torch.autograd.grad(theirs, given, seed)):
        torch.testing.assert_close(one, other, atol=2e-4, rtol=1e-4)


@pytest.mark.usefixtures("onednn")
def test_gradients_of_sums_and_of_frozen_parts() -> None:
    x, weight, bias = operands(40, 150, 160)
    weight.requires_grad_(False)
    linear(x, weight, bias).sum().backward()
    assert weight.grad is None and x.grad is not None and bias.grad is not None
    torch.testing.assert_close(x.grad, weight.sum(dim=0).expand(40, 150), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(bias.grad, torch.full((160,), 40.0))


@pytest.mark.usefixtures("onednn")
def test_a_row_does_not_depend_on_the_others() -> None:
    x, weight, bias = (t.detach() for t in operands(300, 256, 384))
    whole = linear(x, weight, bias)
    for rows in (slice(0, 5), slice(17, 150), slice(100, 300)):
        assert torch.equal(linear(x[rows], weight, bias), whole[rows])


@pytest.mark.usefixtures("onednn")
def test_matrices_with_gaps_between_rows() -> None:
    x, weight, _ = operands(20, 400, 300)
    given = (x[:, 100:228], weight[:, 7:135])
    ours, theirs = linear(*given), F.linear(*given)
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)
    for one, other in zip(*(torch.autograd.grad(y.square().sum(), (x, weight)) for y in (ours, theirs))):
        torch.testing.assert_close(one, other, atol=2e-3, rtol=1e-4)


@pytest.mark.usefixtures("onednn")
def test_no_rows() -> None:
    _, weight, bias = operands(1, 128, 200)
    x = torch.zeros(0, 128, requires_grad=True)
    out = linear(x, weight, bias)
    assert out.shape == (0, 200)
    out.sum().backward()
    assert weight.grad is not None and not weight.grad.any() and x.grad is not None


@pytest.mark.usefixtures("onednn")
def test_operator_is_sound() -> None:
    found = torch.library.opcheck(linear_op, operands(6, 128, 130))
    assert found and set(found.values()) == {"SUCCESS"}


@pytest.mark.usefixtures("onednn")
def test_layer_compiles_to_one_graph() -> None:
    layer = Linear(128, 160)
    x = torch.randn(9, 128)
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), layer(x))


@pytest.mark.usefixtures("onednn")
@pytest.mark.parametrize(
    ("x", "weight"),
    [
        (torch.ones(4, 128, dtype=torch.float64), torch.ones(128, 128, dtype=torch.float64)),
        (torch.ones(2, 4, 128), torch.ones(128, 128)),
        (torch.ones(4, 8), torch.ones(8, 8)),
    ],
    ids=["float64", "three dimensions", "small"],
)
def test_what_stays_with_torch(x: Tensor, weight: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "linear_op", None)
    assert torch.equal(linear(x, weight), F.linear(x, weight))


@pytest.mark.usefixtures("onednn")
def test_autocast_stays_with_torch() -> None:
    x, weight, bias = operands(4, 128, 128)
    with torch.autocast("cpu", torch.bfloat16):
        assert linear(x, weight, bias).dtype == torch.bfloat16


@pytest.fixture
def _chooses_anew() -> Iterator[None]:
    module._is_mkl_slow.cache_clear()
    yield
    module._is_mkl_slow.cache_clear()


@pytest.mark.usefixtures("_chooses_anew")
@pytest.mark.parametrize(
    ("maker", "capability", "is_slow"),
    [("AuthenticAMD", "AVX512", True), ("AuthenticAMD", "AVX2", False), ("GenuineIntel", "AVX512", False)],
)
def test_choice_goes_by_the_processor(
    maker: str, capability: str, is_slow: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_maker", lambda: f"vendor_id : {maker}")
    monkeypatch.setattr(torch.backends.mkl, "is_available", lambda: True)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    assert module.is_onednn_faster() is is_slow
    with torch.backends.mkldnn.flags(enabled=False):
        assert not module.is_onednn_faster()


@pytest.mark.usefixtures("_chooses_anew")
def test_a_torch_without_the_operator_multiplies_its_own_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_maker", lambda: "vendor_id : AuthenticAMD")
    monkeypatch.setattr(torch.backends.mkl, "is_available", lambda: True)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    monkeypatch.setattr(torch.ops, "mkldnn", SimpleNamespace())
    assert not module.is_onednn_faster()
    given = operands(5, 128, 130)
    assert torch.equal(linear(*given), F.linear(*given))
