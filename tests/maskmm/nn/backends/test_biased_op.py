"""Attention with a bias as one operator: equal to the dense backend with autograd, whatever bias, gate and window."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from maskmm.nn.attention import attend
from maskmm.nn.backends.biased_op import attend_biased, attend_biased_op
from maskmm.nn.bias import BoundBias, IndexedBias, PositionBias
from maskmm.nn.bias.alibi import Alibi
from maskmm.nn.bias.bucketed import BucketedBias
from maskmm.nn.bias.table_2d import TableBias
from maskmm.sequence import TokenSequence, pack
from tests.maskmm.decoding.stubs import VOCABULARY, full_batch
from tests.maskmm.nn.backends.cases import TOLERANCE, Case

HEADS = 4


class SameModality(IndexedBias):
    """A user's own: one value for pairs of one modality, one for all others."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(2, HEADS)

    def place(self, sequence: TokenSequence) -> Tensor:
        return sequence.modality[:, None]

    def values_table(self) -> Tensor:
        return self.table.weight

    @classmethod
    def index(cls, place_q: Tensor, place_k: Tensor, numbers: Sequence[int]) -> Tensor:
        return (place_q.unsqueeze(-2) == place_k.unsqueeze(-3)).long()


BIASES = {
    "alibi": lambda: Alibi(HEADS, "sample"),
    "bucketed": lambda: BucketedBias(HEADS, len(VOCABULARY.axes), 8, 5, "segment"),
    "table_2d": lambda: TableBias(HEADS, VOCABULARY),
    "own": SameModality,
}


def bound(name: str, sequence: TokenSequence, is_gated: bool) -> tuple[BoundBias, list[Tensor]]:
    """A bias, and its leaves."""
    torch.manual_seed(0)
    module: PositionBias = BIASES[name]().double()
    for parameter in module.parameters():
        nn.init.normal_(parameter)
    leaves = list(module.parameters())
    bias = module.bind(sequence)
    if is_gated:
        leaves.append(torch.rand(sequence.num_rows, HEADS, dtype=torch.float64, requires_grad=True))
        bias = bias.gated(leaves[-1])
    return bias, leaves


@pytest.mark.parametrize("is_gated", [False, True])
@pytest.mark.parametrize("window", [None, 3])
@pytest.mark.parametrize("name", BIASES)
def test_operator_equals_autograd(name: str, window: int | None, is_gated: bool) -> None:
    sequence = pack(full_batch(5), VOCABULARY)
    case = Case(sequence.cu_seqlens.diff().tolist(), (HEADS, 2), 6, torch.float64)
    layout, qkv = case.layout(window), case.tensors()
    bias, leaves = bound(name, sequence, is_gated)
    wanted = attend(*qkv, layout, "dense", bias)  # type: ignore[arg-type]
    found = attend_biased(*qkv, layout, bias)  # type: ignore[arg-type]
    torch.testing.assert_close(found, wanted)
    weight = torch.randn_like(wanted)
    for got, want in zip(
        torch.autograd.grad((found * weight).sum(), [*qkv, *leaves]),
        torch.autograd.grad((wanted * weight).sum(), [*qkv, *leaves]),
    ):
        torch.testing.assert_close(got, want)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_half_precision_stays_near_double(dtype: torch.dtype) -> None:
    sequence = pack(full_batch(2), VOCABULARY)
    case = Case(sequence.cu_seqlens.diff().tolist(), (HEADS, HEADS), 8, dtype)
    qkv, bias = case.tensors(), bound("bucketed", sequence, is_gated=True)[0]
    found = attend_biased(*qkv, case.layout(), bias)  # type: ignore[arg-type]
    wanted = attend(*(t.double() for t in qkv), case.layout(), "dense", bias)  # type: ignore[arg-type]
    assert found.dtype == dtype
    error = TOLERANCE[dtype]
    torch.testing.assert_close(found.double(), wanted, atol=error, rtol=error)


def test_rows_past_the_last_offset_are_zeros_with_zero_gradients() -> None:
    sequence = pack(full_batch(2), VOCABULARY)
    bias, leaves = bound("own", sequence, is_gated=True)
    q, k, v = Case([sequence.num_rows], (HEADS, HEADS), dtype=torch.float64).tensors()
    layout = Case([4, 5]).layout()
    out = attend_biased(q, k, v, layout, bias)
    assert not out[9:].any() and out[:9].any()
    for grad in torch.autograd.grad(out.square().sum(), [q, k, v, leaves[-1]]):
        assert not grad[9:].any() and bool(grad.isfinite().all())


@pytest.mark.parametrize("is_gated", [False, True])
def test_operator_keeps_torchs_rules(is_gated: bool) -> None:
    sequence = pack(full_batch(2), VOCABULARY)
    bias, _ = bound("bucketed", sequence, is_gated)
    qkv = Case([sequence.num_rows], (HEADS, HEADS), dtype=torch.float64).tensors()
    parts = (bias.place, bias.table, bias.gate, bias.formula, list(bias.numbers), 5)
    found = torch.library.opcheck(attend_biased_op, (*qkv, sequence.cu_seqlens, *parts))
    assert found and set(found.values()) == {"SUCCESS"}


def test_a_formula_that_is_gone_is_an_error() -> None:
    sequence = pack(full_batch(1), VOCABULARY)
    bias = BoundBias("nowhere.Bias", sequence.position, torch.zeros(1, HEADS))
    with pytest.raises(ValueError, match="nowhere.Bias"):
        bias(torch.arange(2), torch.arange(2))
