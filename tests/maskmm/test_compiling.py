"""Compiled training: one graph for batches of changing lengths, no breaks, the losses and weights of eager training."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._dynamo.utils import counters

from maskmm.compiling import CompileConfig, CompiledAnswer, answer
from maskmm.masking.any_to_any import AnyToAnyMasking
from maskmm.masking.base import MaskedSequence
from maskmm.masking.transforms import DropModalities, LengthQueries
from maskmm.model import MaskedTransformer, TransformerConfig
from maskmm.nn.config import (
    AttentionConfig,
    DecoderConfig,
    EmbeddingConfig,
    FeedForwardConfig,
    HeadConfig,
    NormConfig,
    PositionConfig,
    ResidualConfig,
)
from maskmm.objectives.base import MaskedModel, Objective, ObjectiveOutput
from maskmm.objectives.cross_entropy import MaskedCrossEntropy
from maskmm.objectives.structure import Hybrid
from maskmm.packing import Packer
from tests.maskmm.decoding.stubs import AUDIO, IMAGE, LABEL, MODALITIES, TEXT, VOCABULARY, full_batch
from tests.maskmm.training import TINY, build_data, build_module, build_trainer, write_toy_data
from tokenizers_vq.contract import Key, ModalitySource, TokenBudget

PLAIN = [IMAGE, AUDIO, TEXT, LABEL]
BASE = TransformerConfig(width=32, depth=2, attention=AttentionConfig(num_heads=2))
KEY = Key(0)


@pytest.fixture(autouse=True)
def fresh_counters() -> Iterator[None]:
    torch._dynamo.reset()
    counters.clear()
    yield
    torch._dynamo.reset()


def batch(step: int) -> MaskedSequence:
    """A batch of one shape with one to seven samples, some of whose modalities are dropped."""
    samples = full_batch(1 + step % 7, seed=step)
    samples = LengthQueries(PLAIN, 0.3)(DropModalities()(samples, Key(1, step)), Key(2, step))
    budget = TokenBudget(200, 8)
    return Packer(PLAIN, AnyToAnyMasking(), budget=budget, target_capacity=100)(samples, Key(3, step))


def batch_with_inputs(step: int) -> MaskedSequence:
    """The same, with continuous inputs of the images that are left."""
    samples = full_batch(1 + step % 7, seed=step)
    values = torch.randn(len(samples.codes["image"]), 3, generator=torch.Generator().manual_seed(step))
    samples = DropModalities()(replace(samples, inputs={"image": values}), Key(1, step))
    budget = TokenBudget(200, 8)
    return Packer(PLAIN, AnyToAnyMasking(), budget=budget, target_capacity=100)(samples, Key(3, step))


def loss_and_gradients(output: ObjectiveOutput, model: MaskedTransformer) -> list[Tensor]:
    loss = torch.stack([total / count.clamp(min=1) for total, count in output.parts.values()]).sum()
    gradients = torch.autograd.grad(loss, list(model.parameters()), allow_unused=True)
    return [loss.detach(), *(torch.zeros(()) if g is None else g for g in gradients)]


def check_against_eager(
    config: TransformerConfig,
    backend: str,
    num_batches: int,
    batch_of: Callable[[int], MaskedSequence] = batch,
) -> int:
    """Equal losses and gradients; one graph, made for the first batch. How many tensors were compared."""
    num_compared = 0
    torch.manual_seed(0)
    model, objective = MaskedTransformer(VOCABULARY, config), MaskedCrossEntropy()
    compiled = CompiledAnswer(CompileConfig(backend=backend))  # type: ignore[arg-type]
    for step in range(num_batches):
        given = batch_of(step)
        found = loss_and_gradients(compiled(objective, model, given, KEY.at(step)), model)
        expected = loss_and_gradients(answer(objective, model, given, KEY.at(step)), model)
        for a, b in zip(found, expected, strict=True):
            torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)
        num_compared += len(found)
        assert counters["stats"]["unique_graphs"] == 1, step
    assert not counters["graph_break"] and not counters["recompile_limit"]
    return num_compared


def test_one_graph_for_50_batches_of_changing_lengths() -> None:
    lengths = {tuple(batch(step).inputs.cu_seqlens.tolist()) for step in range(50)}
    assert len(lengths) > 40
    assert check_against_eager(BASE, "aot_eager", 50) > 50


@pytest.mark.slow
def test_one_graph_of_compiled_kernels() -> None:
    assert check_against_eager(BASE, "inductor", 50) > 50


SHALLOW = replace(BASE, depth=1)
FAMILY = {
    "windows": replace(BASE, attention=AttentionConfig(num_heads=2, window=6, global_every=2)),
    "grouped": replace(SHALLOW, attention=AttentionConfig(num_heads=4, num_kv_heads=2, qk_norm="rms")),
    "absolute": replace(
        SHALLOW, positions=PositionConfig(source="sample", rotary=None, learned="absolute", size=300)
    ),
    "row numbers": replace(SHALLOW, positions=PositionConfig(source="sample", learned=None)),
    "post-norm": replace(SHALLOW, norm=NormConfig(kind="layer", placement="post")),
    "residual": replace(
        BASE, residual=ResidualConfig(layer_scale=0.1, is_parallel=True, has_depth_average=True)
    ),
    "alibi": replace(SHALLOW, positions=PositionConfig("sample", rotary=None, learned=None, bias="alibi")),
    "buckets of each layer, a window": replace(
        BASE,
        attention=AttentionConfig(num_heads=2, window=6, global_every=2),
        positions=PositionConfig(bias="bucketed", is_bias_shared=False),
    ),
    "dense head": replace(SHALLOW, head=HeadConfig(kind="dense", activation="gelu")),
}


BEIT = TransformerConfig(
    width=32,
    depth=2,
    attention=AttentionConfig(num_heads=4, num_kv_heads=2, qkv_bias="qv", has_out_bias=True),
    ffn=FeedForwardConfig(48, "gelu", has_bias=True),
    norm=NormConfig("layer", has_bias=True),
    positions=PositionConfig(rotary=None, learned=None, bias="table_2d"),
    residual=ResidualConfig(layer_scale=0.1),
    head=HeadConfig(is_tied=False),
)
BEATS = TransformerConfig(
    width=32,
    depth=2,
    attention=AttentionConfig(num_heads=2, qkv_bias="all", has_out_bias=True),
    ffn=FeedForwardConfig(48, "gelu", has_bias=True),
    norm=NormConfig("layer", "deepnorm", has_bias=True, has_final=False, has_embedding_norm=True),
    positions=PositionConfig(
        "sample", rotary=None, learned=None, bias="gated_bucketed", num_buckets=8, max_distance=7, conv_kernel=4,
        conv_groups=4,
    ),
)  # fmt: skip


@pytest.mark.parametrize("config", [BEIT, BEATS], ids=["beit", "beats"])
def test_biases_and_convolutions_stay_in_one_graph_with_gradients(config: TransformerConfig) -> None:
    assert check_against_eager(config, "aot_eager", 4) > 4


@pytest.mark.slow
def test_biases_and_convolutions_with_compiled_kernels() -> None:
    assert check_against_eager(replace(BEATS, depth=1), "inductor", 3) > 3


@pytest.mark.parametrize("name", FAMILY)
def test_the_family_compiles(name: str) -> None:
    assert check_against_eager(FAMILY[name], "eager", 3) > 3


@pytest.mark.parametrize("has_codes", [True, False], ids=["beside codes", "instead of codes"])
def test_continuous_inputs_stay_in_the_graph(has_codes: bool) -> None:
    embedding = EmbeddingConfig(has_codes_beside_inputs=has_codes)
    config = replace(BASE, input_widths={"image": 3}, embedding=embedding)
    assert check_against_eager(config, "aot_eager", 4, batch_with_inputs) > 4


def test_random_branches_and_checkpointing_stay_in_the_graph() -> None:
    torch.manual_seed(0)
    model = MaskedTransformer(VOCABULARY, replace(BASE, residual=ResidualConfig(drop_path=0.3, dropout=0.1)))
    model.train()
    model.checkpoints_activations = True
    compiled = CompiledAnswer(CompileConfig(backend="eager"))
    losses = [
        loss_and_gradients(compiled(MaskedCrossEntropy(), model, batch(0), KEY), model)[0] for _ in range(4)
    ]
    assert len({float(loss) for loss in losses}) == 4
    assert counters["stats"]["unique_graphs"] == 1 and not counters["graph_break"]


def test_more_targets_than_the_capacity_are_compiled_once_more() -> None:
    torch.manual_seed(0)
    model, compiled = MaskedTransformer(VOCABULARY, BASE), CompiledAnswer(CompileConfig(backend="eager"))
    packer = Packer(PLAIN, AnyToAnyMasking(), budget=TokenBudget(200, 8), target_capacity=3)
    for step in range(30):
        compiled(MaskedCrossEntropy(), model, packer(full_batch(7, seed=step), Key(0, step)), KEY)
    assert counters["stats"]["unique_graphs"] == 2 and not counters["graph_break"]


@pytest.fixture
def sources(tmp_path: Path) -> list[ModalitySource]:
    return write_toy_data(tmp_path)


def test_training_is_that_of_eager(sources: list[ModalitySource], tmp_path: Path) -> None:
    def fit(compilation: CompileConfig | None) -> dict[str, Any]:
        transformer = replace(TINY, residual=ResidualConfig(dropout=0.2, drop_path=0.3), depth=2)
        module = build_module(sources, transformer=transformer, compilation=compilation)
        collate = Packer(sources, AnyToAnyMasking(), budget=TokenBudget(96, 32), target_capacity=96)
        data = build_data(tmp_path, sources, collate=collate, batch_size=2, buffer_size=40, num_steps=6)
        trainer = build_trainer(tmp_path, max_steps=6, accumulate_grad_batches=2, log_every_n_steps=3)
        trainer.fit(module, data)
        logged = {name: torch.as_tensor(value) for name, value in trainer.logged_metrics.items()}
        return module.state_dict() | logged

    eager, compiled = fit(None), fit(CompileConfig(backend="aot_eager"))
    assert eager.keys() == compiled.keys() and "train/loss" in eager and "val/loss" in eager
    for name, value in eager.items():
        torch.testing.assert_close(compiled[name], value, atol=2e-5, rtol=1e-4, msg=name)
    assert counters["stats"]["unique_graphs"] == 1 and not counters["graph_break"]


class ReadsItsLoss(Objective):
    """Waits for the device in the middle of the step."""

    def forward(self, model: MaskedModel, batch: MaskedSequence, key: Key) -> ObjectiveOutput:
        value = model.forward_features(batch.inputs).sum()
        if float(value) > 0:
            value = -value
        return ObjectiveOutput({"image/0/masked": (value, torch.ones(()))})


def test_what_does_not_compile_is_refused(sources: list[ModalitySource]) -> None:
    compiled = CompiledAnswer(CompileConfig(backend="eager"))
    model = MaskedTransformer(VOCABULARY, BASE)
    with pytest.raises(ValueError, match="ReadsItsLoss on this model does not compile into one graph"):
        compiled(ReadsItsLoss(), model, batch(0), KEY)
    structured = replace(batch(0), order=torch.zeros(batch(0).inputs.num_rows, dtype=torch.int64))
    with pytest.raises(
        ValueError, match="follow from values of tensors, as with attention under a predicate"
    ):
        compiled(MaskedCrossEntropy(structure=Hybrid()), model, structured, KEY)
    decoder = replace(TINY, head=HeadConfig(decoder=DecoderConfig()))
    with pytest.raises(ValueError, match="head.decoder=DecoderConfig"):
        build_module(sources, transformer=decoder, compilation=CompileConfig())
    for bad in ({"mode": "fast"}, {"backend": "tvm"}, {"mode": "max-autotune", "backend": "eager"}):
        with pytest.raises(ValueError, match="mode="):
            CompileConfig(**bad)  # type: ignore[arg-type]


def test_batches_of_changing_shape_are_refused() -> None:
    model = MaskedTransformer(VOCABULARY, BASE)
    compiled = CompiledAnswer(CompileConfig(backend="eager"))
    packer = Packer(MODALITIES[:4], AnyToAnyMasking())
    compiled(MaskedCrossEntropy(), model, packer(full_batch(3), KEY), KEY)
    with pytest.raises(ValueError, match="give the Packer a token budget"):
        compiled(MaskedCrossEntropy(), model, packer(full_batch(4), KEY), KEY)
