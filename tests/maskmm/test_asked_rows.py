"""The last layer on asked rows alone: the same features, loss and gradients as of the full forward."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from maskmm.masking.any_to_any import AnyToAnyMasking
from maskmm.masking.base import masked_at
from maskmm.model import MaskedTransformer
from maskmm.nn import self_attention
from maskmm.nn.layout import AttentionLayout
from maskmm.nn.structure import permutation
from maskmm.objectives.cross_entropy import MaskedCrossEntropy
from maskmm.rows import AskedRows
from maskmm.sequence import pack
from tests.contracts.test_mixers import SampleMean, model_with, sequence_of
from tests.maskmm.decoding.stubs import VOCABULARY, full_batch
from tests.maskmm.nn.test_family import FAMILY, PLAIN, batch, build
from tokenizers_vq.contract import Key


def rows_of_some_samples() -> Tensor:
    """(N,) bool for `batch()`: nothing of one sample, all of another, some of the longest."""
    sequence = batch()
    is_asked = Key(0).uniform(torch.arange(sequence.num_rows)) < 0.4
    return (is_asked | (sequence.sample == 1)) & (sequence.sample != 2)


def features_and_gradients(model: MaskedTransformer, features: Tensor) -> list[Tensor]:
    weight = torch.randn(features.shape, dtype=features.dtype, generator=torch.Generator().manual_seed(2))
    used = [p for n, p in model.named_parameters() if not n.startswith(("head_", "embedding.inputs"))]
    return [features.detach(), *torch.autograd.grad((features * weight).sum(), used)]


def num_equal(model: MaskedTransformer, layout: AttentionLayout | None = None) -> int:
    """Compare features and gradients; how many tensors were compared, the features among them."""
    sequence, is_asked = batch(), rows_of_some_samples()
    asked = AskedRows.of(sequence, is_asked)
    found = features_and_gradients(model, model.forward_asked(sequence, asked, layout))
    wanted = features_and_gradients(model, model.forward_features(sequence, layout)[is_asked])
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, atol=1e-9, rtol=1e-9)
    return len(found)


@pytest.mark.parametrize("are_queries_fewer", [True, False])
@pytest.mark.parametrize("name", FAMILY)
def test_the_whole_family_answers_as_the_full_forward(
    name: str, are_queries_fewer: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(self_attention, "_ROWS_THAT_PAY", 0 if are_queries_fewer else 10**6)
    model = build(FAMILY[name])
    assert num_equal(model) > len(model.blocks)


def test_structured_attention_and_activation_checkpointing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(self_attention, "_ROWS_THAT_PAY", 0)
    model, sequence = build(PLAIN), batch()
    order = Key(1).integers(torch.tensor(4), torch.arange(sequence.num_rows))
    num_tensors = num_equal(model, model.layout(sequence, permutation(order)))
    model.train().checkpoints_activations = True
    assert num_equal(model) == num_tensors > len(model.blocks)


def test_a_mixer_that_knows_nothing_of_it_answers_too() -> None:
    model, sequence = model_with(lambda: SampleMean(16)), sequence_of(4)
    is_asked = Key(0).uniform(torch.arange(sequence.num_rows)) < 0.3
    found = model.forward_asked(sequence, AskedRows.of(sequence, is_asked))
    torch.testing.assert_close(found, model.forward_features(sequence)[is_asked])


def test_asked_rows_are_the_naive_list_with_or_without_a_fixed_count() -> None:
    sequence, is_asked = batch(), rows_of_some_samples()
    for count in (None, int(is_asked.sum()), int(is_asked.sum()) + 5, sequence.num_rows):
        asked = AskedRows.of(sequence, is_asked, count)
        assert len(asked.index) == (int(is_asked.sum()) if count is None else count)
        assert set(is_asked.nonzero().flatten().tolist()) <= set(asked.index.tolist())
        assert bool((asked.index.diff() > 0).all())
        for sample in range(sequence.num_samples):
            mine = asked.index[asked.cu_seqlens[sample] : asked.cu_seqlens[sample + 1]]
            assert bool((sequence.sample[mine] == sample).all())
        rows = asked.index[[3, 0, 3]]
        assert torch.equal(asked.index[asked.place_of(rows)], rows)


@pytest.mark.parametrize("capacity", [None, 7])
def test_the_loss_and_its_gradients_are_those_of_the_full_forward(
    capacity: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(self_attention, "_ROWS_THAT_PAY", 0)
    torch.manual_seed(0)
    model = MaskedTransformer(VOCABULARY, replace(PLAIN, width=16)).double()
    masked = AnyToAnyMasking()(pack(full_batch(9), VOCABULARY), Key(3)).with_target_rows(capacity)
    assert masked.asked is not None
    losses = []
    for given in (masked, replace(masked, asked=None)):
        parts = MaskedCrossEntropy()(model, given, Key(0)).parts
        loss = torch.stack([total for total, _ in parts.values()]).sum()
        gradients = torch.autograd.grad(loss, list(model.parameters()), allow_unused=True)
        losses.append([loss.detach(), *(g for g in gradients if g is not None)])
    assert len(losses[0]) == len(losses[1])
    for one, other in zip(*losses):
        torch.testing.assert_close(one, other, atol=1e-9, rtol=1e-6)


def test_nothing_or_everything_asked_needs_no_list() -> None:
    sequence = batch()
    for is_asked in (torch.zeros_like(sequence.has_codebook()), torch.ones_like(sequence.has_codebook())):
        assert masked_at(sequence, torch.zeros_like(is_asked)).with_target_rows().asked is None
    with pytest.raises(ValueError, match="window=3"):
        AttentionLayout.build(torch.tensor([0, 4]), window=3).asking(torch.tensor([0, 2]))
