"""A step on CUDA never waits for the device, seen without one: tensors that have no values cannot be read."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from maskmm.compiling import answer
from maskmm.masking.any_to_any import AnyToAnyMasking
from maskmm.model import MaskedTransformer, TransformerConfig
from maskmm.nn.config import AttentionConfig, FeedForwardConfig, HeadConfig, PositionConfig, ResidualConfig
from maskmm.objectives.cross_entropy import MaskedCrossEntropy, total_loss
from maskmm.packing import Packer
from tests.maskmm.decoding.stubs import MODALITIES, VOCABULARY, full_batch
from tokenizers_vq.contract import Key, TokenBudget

PLAIN = TransformerConfig(
    width=32, depth=2, attention=AttentionConfig(num_heads=4), ffn=FeedForwardConfig(48), max_length=64
)
FAMILY = {
    "plain": PLAIN,
    "window": TransformerConfig(
        width=32, depth=3, attention=AttentionConfig(num_heads=4, window=4, global_every=3), max_length=64
    ),
    "grouped heads, normed": TransformerConfig(
        width=32,
        depth=1,
        attention=AttentionConfig(num_heads=4, num_kv_heads=2, qk_norm="rms"),
        max_length=64,
    ),
    "dropout, drop path, half stream": TransformerConfig(
        width=32,
        depth=2,
        attention=AttentionConfig(num_heads=4),
        residual=ResidualConfig(dropout=0.1, drop_path=0.1, layer_scale=0.1, has_half_stream=True),
        max_length=64,
    ),
    "convolution and a dense head": TransformerConfig(
        width=32,
        depth=1,
        attention=AttentionConfig(num_heads=4),
        positions=PositionConfig(conv_kernel=3),
        head=HeadConfig("dense", is_tied=False),
        max_length=64,
    ),
}


@pytest.fixture(autouse=True)
def hopper(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What the packed kernels ask of a GPU."""
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *_: (9, 0))
    with FakeTensorMode(allow_non_fake_inputs=True):
        yield


def on_cuda(model: MaskedTransformer) -> MaskedTransformer:
    """The model in bfloat16 on a device that is not there."""
    for module in model.modules():
        for name, value in [*module._parameters.items(), *module._buffers.items()]:
            if value is None:
                continue
            dtype = torch.bfloat16 if isinstance(value, nn.Parameter) else value.dtype
            there = torch.empty(value.shape, dtype=dtype, device="cuda")
            setattr(module, name, nn.Parameter(there) if isinstance(value, nn.Parameter) else there)
    return model


def built(config: TransformerConfig) -> MaskedTransformer:
    with torch.utils._python_dispatch._disable_current_modes():
        model = MaskedTransformer(VOCABULARY, config)
    return on_cuda(model)


@pytest.mark.parametrize("is_training", [True, False])
@pytest.mark.parametrize("name", FAMILY)
def test_a_packed_step_reads_nothing_from_the_device(name: str, is_training: bool) -> None:
    with torch.utils._python_dispatch._disable_current_modes():
        packer = Packer(MODALITIES, AnyToAnyMasking(), budget=TokenBudget(256, 16), target_capacity=128)
        batch = packer(full_batch(5), Key(0))
    model, there = built(FAMILY[name]).train(is_training), batch.to("cuda")
    parts = answer(MaskedCrossEntropy(), model, there, Key(0)).parts
    loss = total_loss(parts, {part: count for part, (_, count) in parts.items()}, {})
    assert loss.device.type == "cuda" and loss.requires_grad


def test_reading_a_value_would_be_seen() -> None:
    with pytest.raises(DataDependentOutputException):
        torch.ones(3, device="cuda").sum().item()
