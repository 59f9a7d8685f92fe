"""bf16 autocast: matrix products in half precision; norms, softmax and loss in float32."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from maskmm.masking.any_to_any import AnyToAnyMasking
from maskmm.masking.base import MaskedSequence
from maskmm.model import MaskedTransformer, TransformerConfig
from maskmm.nn.config import AttentionConfig, FeedForwardConfig, NormConfig
from maskmm.objectives.cross_entropy import MaskedCrossEntropy
from maskmm.sequence import pack
from tests.maskmm.decoding.stubs import VOCABULARY, full_batch
from tests.maskmm.objectives.stubs import WithoutTable
from tokenizers_vq.contract import Key

KEY = Key(0)


class Dtypes(TorchDispatchMode):
    """Dtypes of the first input of each operation."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, set[torch.dtype]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if args and isinstance(args[0], Tensor):
            self.found.setdefault(func.overloadpacket.__name__, set()).add(args[0].dtype)
        return func(*args, **(kwargs or {}))


def model_of(kind: Any, placement: Any) -> MaskedTransformer:
    torch.manual_seed(0)
    config = TransformerConfig(
        width=32,
        depth=2,
        attention=AttentionConfig(num_heads=2, qk_norm="rms"),
        ffn=FeedForwardConfig(width=48),
        norm=NormConfig(kind, placement),
        init_std=0.2,
    )
    return MaskedTransformer(VOCABULARY, config)


def masked() -> MaskedSequence:
    return AnyToAnyMasking()(pack(full_batch(6), VOCABULARY), KEY).with_target_rows()


@pytest.mark.parametrize("has_table", [True, False])
@pytest.mark.parametrize("kind, placement", [("rms", "pre"), ("layer", "post")])
def test_what_stays_in_float32(kind: Any, placement: Any, has_table: bool) -> None:
    model, batch = model_of(kind, placement), masked()
    norms: list[torch.dtype] = []
    for module in model.modules():
        if isinstance(module, nn.RMSNorm | nn.LayerNorm):
            module.register_forward_hook(lambda _, given, out: norms.extend((given[0].dtype, out.dtype)))
    with torch.autocast("cpu", torch.bfloat16), Dtypes() as dtypes:
        parts = MaskedCrossEntropy()(model if has_table else WithoutTable(model), batch, KEY).parts
    assert norms and set(norms) == {torch.float32}
    assert dtypes.found["mm"] == {torch.bfloat16}
    if has_table:  # what the operator does inside: tests/maskmm/nn/test_linear_cross_entropy.py
        assert dtypes.found["code_scores"] == {torch.bfloat16}
    else:
        assert dtypes.found["_log_softmax"] == {torch.float32}
        assert dtypes.found["nll_loss_forward"] == {torch.float32}
    loss = torch.stack([total for total, _ in parts.values()]).sum()
    assert loss.dtype == torch.float32 and all(p.dtype == torch.float32 for p in model.parameters())
    exact = torch.stack([s for s, _ in MaskedCrossEntropy()(model, batch, KEY).parts.values()]).sum()
    torch.testing.assert_close(loss, exact, rtol=0.02, atol=0.0)
    loss.backward()
    assert all(p.grad is None or p.grad.dtype == torch.float32 for p in model.parameters())


def test_attention_in_half_precision_sums_in_float32() -> None:
    """Kernels take bfloat16 numbers, but the softmax over many keys keeps what bfloat16 sums would lose."""
    torch.manual_seed(0)
    q, k, v = (torch.randn(1, 1, n, 16) for n in (4, 4096, 4096))
    half = [t.bfloat16() for t in (q, k, v + 1.0)]
    exact = F.scaled_dot_product_attention(*(t.float() for t in half))
    found = F.scaled_dot_product_attention(*half).float()
    assert float((found - exact).abs().max()) < 0.01  # one step of bfloat16 near 1
