"""Every objective: named sums and counts that add up however samples are batched, the same names on every rank."""

from __future__ import annotations

import pytest
import torch

from maskmm.masking.any_to_any import AnyToAnyMasking
from maskmm.masking.base import MaskedSequence
from maskmm.model import MaskedTransformer, TransformerConfig
from maskmm.nn.config import AttentionConfig, FeedForwardConfig
from maskmm.objectives.base import Objective, ObjectiveOutput
from maskmm.objectives.cross_entropy import MaskedCrossEntropy
from maskmm.sequence import pack
from tests.contracts.discovery import subclasses
from tests.maskmm.decoding.stubs import MODALITIES, VOCABULARY, full_batch
from tests.maskmm.training import part_of
from tokenizers_vq.contract import Key, TokenBatch

EXAMPLES: dict[type, list[Objective]] = {
    MaskedCrossEntropy: [MaskedCrossEntropy(), MaskedCrossEntropy(0.2)],
}
ALL = pytest.mark.parametrize(
    "objective", [e for es in EXAMPLES.values() for e in es], ids=lambda o: type(o).__name__
)


def test_every_objective_has_an_example() -> None:
    assert subclasses(Objective) == set(EXAMPLES)


@pytest.fixture
def model() -> MaskedTransformer:
    torch.manual_seed(0)
    config = TransformerConfig(
        width=16,
        depth=1,
        attention=AttentionConfig(num_heads=2),
        ffn=FeedForwardConfig(width=16),
        init_std=0.3,
    )
    return MaskedTransformer(VOCABULARY, config).double()


def masked(batch: TokenBatch) -> MaskedSequence:
    return AnyToAnyMasking()(pack(batch, VOCABULARY), Key(3)).with_target_rows()


def check(output: ObjectiveOutput) -> None:
    for name, (total, count) in output.parts.items():
        modality, codebook, part = name.split("/")
        assert modality in VOCABULARY.names and codebook.isdecimal() and part
        assert total.shape == count.shape == () and total.requires_grad and not count.requires_grad
        assert bool(total.isfinite()) and float(count) >= 0
    for total, count in output.metrics.values():
        assert total.shape == count.shape == ()
        assert not total.requires_grad and not count.requires_grad


@ALL
def test_parts_and_metrics_are_sums_and_counts(objective: Objective, model: MaskedTransformer) -> None:
    output = objective.double()(model, masked(full_batch(6)), Key(1))
    check(output)
    assert sum(float(count) for _, count in output.parts.values()) > 0
    torch.stack([total for total, _ in output.parts.values()]).sum().backward()
    assert all(bool(p.grad.isfinite().all()) for p in model.parameters() if p.grad is not None)
    assert any(bool(p.grad.any()) for p in model.parameters() if p.grad is not None)


@ALL
def test_a_batch_that_asks_nothing_names_the_same(objective: Objective, model: MaskedTransformer) -> None:
    full = objective.double()(model, masked(full_batch(6)), Key(1))
    empty = objective(model, masked(TokenBatch.from_samples([{}], MODALITIES)), Key(1))
    check(empty)
    assert list(empty.parts) == list(full.parts) and list(empty.metrics) == list(full.metrics)
    assert not any(float(count) for _, count in empty.parts.values())
    torch.stack([total for total, _ in empty.parts.values()]).sum().backward()


@ALL
def test_sums_and_counts_add_up_over_batches(objective: Objective, model: MaskedTransformer) -> None:
    batch = masked(full_batch(6))
    whole = objective.double()(model, batch, Key(1))
    halves = [objective(model, part_of(batch, index), Key(1)) for index in ([4, 0, 5], [1, 2, 3])]
    for name, (total, count) in whole.parts.items():
        torch.testing.assert_close(sum(half.parts[name][0] for half in halves), total)
        assert sum(float(half.parts[name][1]) for half in halves) == float(count)


@ALL
def test_the_same_key_gives_the_same(objective: Objective, model: MaskedTransformer) -> None:
    batch = masked(full_batch(4))
    runs = [objective.double()(model, batch, Key(7)).parts for _ in range(2)]
    for name, (total, _) in runs[0].items():
        assert torch.equal(runs[1][name][0], total)
