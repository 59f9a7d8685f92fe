"""The whole model on a GPU: losses and features of the CPU, asked rows, hashed draws, steps that wait for nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from maskmm.compiling import CompileConfig, CompiledAnswer, answer
from maskmm.masking.any_to_any import AnyToAnyMasking
from maskmm.masking.base import MaskedSequence
from maskmm.model import MaskedTransformer, TransformerConfig
from maskmm.nn.config import AttentionConfig, PositionConfig, ResidualConfig
from maskmm.objectives.cross_entropy import MaskedCrossEntropy, total_loss
from maskmm.packing import Packer
from maskmm.rows import AskedRows
from tests.maskmm.decoding.stubs import AUDIO, IMAGE, LABEL, TEXT, full_batch
from tokenizers_vq.contract import Key, TokenBudget

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]
BASE = TransformerConfig(width=64, depth=2, attention=AttentionConfig(num_heads=2))
CONFIGS = {
    "house": BASE,
    "windows, grouped": replace(
        BASE, attention=AttentionConfig(num_heads=4, num_kv_heads=2, window=6, global_every=2)
    ),
    "table_2d": replace(BASE, positions=PositionConfig(rotary=None, bias="table_2d")),
    "gated buckets, convolution": replace(
        BASE,
        positions=PositionConfig(
            "sample", rotary=None, learned=None, bias="gated_bucketed", conv_kernel=8, conv_groups=4
        ),
    ),
    "alibi": replace(BASE, positions=PositionConfig("sample", rotary=None, learned=None, bias="alibi")),
    "dropout": replace(BASE, residual=ResidualConfig(dropout=0.2, drop_path=0.3)),
}


@pytest.fixture(autouse=True)
def _exact_float32() -> Iterator[None]:
    """Features of the CPU are not those of TensorFloat-32."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before
    torch._dynamo.reset()


def batch(seed: int = 0) -> MaskedSequence:
    packer = Packer(
        [IMAGE, AUDIO, TEXT, LABEL], AnyToAnyMasking(), budget=TokenBudget(256, 8), target_capacity=128
    )
    return packer(full_batch(4 + seed % 3, seed=seed), Key(0, seed))


def build(name: str, device: str) -> MaskedTransformer:
    torch.manual_seed(0)
    model = MaskedTransformer(batch().inputs.vocabulary, CONFIGS[name])
    return model.to(device).train()


def loss_of(model: MaskedTransformer, given: MaskedSequence, run: object = answer) -> Tensor:
    output = run(MaskedCrossEntropy(), model, given, Key(0))  # type: ignore[operator]
    return total_loss(output.parts, {name: count for name, (_, count) in output.parts.items()}, {})


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", CONFIGS)
def test_losses_and_gradients_are_those_of_the_cpu(name: str, device: str) -> None:
    """Dropout and drop path too: what is hashed is hashed alike."""
    ours, theirs, given = build(name, "cpu"), build(name, device), batch()
    found, wanted = loss_of(theirs, given.to(device)), loss_of(ours, given)
    torch.testing.assert_close(found.cpu(), wanted, atol=1e-4, rtol=1e-4)
    found.backward()
    wanted.backward()
    for (path, got), want in zip(theirs.named_parameters(), ours.parameters()):
        if want.grad is not None:
            assert got.grad is not None
            torch.testing.assert_close(got.grad.cpu(), want.grad, atol=1e-4, rtol=1e-3, msg=path)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", ["house", "windows, grouped", "table_2d"])
def test_asked_rows_in_half_precision(name: str, device: str) -> None:
    """Fewer query rows than key rows in packed kernels."""
    model, sequence = build(name, device).eval(), batch().inputs
    asked = AskedRows.of(sequence, Key(1).uniform(torch.arange(sequence.num_rows)) < 0.2)
    with torch.no_grad(), torch.autocast(device, torch.bfloat16):
        all_rows = model.forward_features(sequence.to(device))
        some = model.forward_asked(sequence.to(device), asked.to(device))
    error = (some.float() - all_rows[asked.index.to(device)].float()).norm() / some.float().norm()
    assert float(error) < 2e-2


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["house", "windows, grouped", "dropout"])
def test_a_step_waits_for_nothing(name: str) -> None:
    model = replace_bound(build(name, "cuda"))
    given = batch().pin_memory().to("cuda")
    with torch.autocast("cuda", torch.bfloat16):
        loss_of(model, given).backward()
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        with torch.autocast("cuda", torch.bfloat16):
            loss_of(model, given).backward()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    assert gradients and all(bool(gradient.isfinite().all()) for gradient in gradients)


def replace_bound(model: MaskedTransformer) -> MaskedTransformer:
    """The same model with a bound on the rows of a sample: without one, kernels read the longest from the device."""
    model.config = replace(model.config, max_length=256)
    return model


@pytest.mark.parametrize("device", [pytest.param("cuda", marks=pytest.mark.gpu)])
@pytest.mark.parametrize("name", ["house", "gated buckets, convolution"])
def test_compiled_steps(name: str, device: str) -> None:
    model, compiled = build(name, device), CompiledAnswer(CompileConfig())
    for seed in range(3):
        given = batch(seed).to(device)
        torch.testing.assert_close(
            loss_of(model, given, compiled), loss_of(model, given), atol=1e-4, rtol=1e-4
        )
