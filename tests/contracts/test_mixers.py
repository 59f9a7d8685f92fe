"""Every mixer: rows of a sample talk, samples do not; and a user's own takes attention's place in a model."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from maskmm.model import MaskedTransformer, TransformerConfig
from maskmm.nn.config import AttentionConfig, FeedForwardConfig
from maskmm.nn.context import LayerContext
from maskmm.nn.mixer import Mixer
from maskmm.nn.self_attention import Attention
from maskmm.sequence import TokenSequence, pack
from tests.contracts.discovery import subclasses
from tests.maskmm.decoding.stubs import VOCABULARY, full_batch

CONFIG = TransformerConfig(
    width=16, depth=2, attention=AttentionConfig(num_heads=2), ffn=FeedForwardConfig(width=16)
)


class SampleMean(Mixer):
    """Each row is told the mean of its sample, through one matrix."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.out = nn.Linear(width, width)

    def forward(self, x_ND: Tensor, context: LayerContext) -> Tensor:
        lengths = context.layout.cu_q.diff()
        sample = torch.repeat_interleave(torch.arange(len(lengths)), lengths)
        sums = x_ND.new_zeros(len(lengths), x_ND.shape[1]).index_add_(0, sample, x_ND)
        return self.out(sums / lengths[:, None])[sample]


EXAMPLES: dict[type, Callable[[], Mixer]] = {Attention: lambda: Attention(CONFIG)}
ALL = pytest.mark.parametrize("build", [*EXAMPLES.values(), lambda: SampleMean(16)])


def test_every_mixer_has_an_example() -> None:
    assert subclasses(Mixer) == set(EXAMPLES)


def model_with(build: Callable[[], Mixer]) -> MaskedTransformer:
    torch.manual_seed(0)
    model = MaskedTransformer(VOCABULARY, CONFIG).eval()
    for block in model.blocks:
        mixer = build()
        for parameter in mixer.parameters():
            nn.init.normal_(parameter, std=0.3)
        block.attention = mixer
    return model


def sequence_of(num_samples: int) -> TokenSequence:
    return pack(full_batch(num_samples), VOCABULARY)


@ALL
def test_a_sample_has_the_same_features_in_any_batch(build: Callable[[], Mixer]) -> None:
    model, together = model_with(build), sequence_of(5)
    features = model.forward_features(together)
    assert features.shape == (together.num_rows, 16)
    alone = model.forward_features(sequence_of(1))
    torch.testing.assert_close(features[together.sample == 0], alone, rtol=1e-4, atol=1e-5)


@ALL
def test_rows_of_a_sample_talk(build: Callable[[], Mixer]) -> None:
    model, sequence = model_with(build), sequence_of(3)
    is_changed = torch.zeros_like(sequence.ids)
    is_changed[3, 0] = 1  # one token of the first sample
    moved = model.forward_features(sequence.hide(is_changed)) - model.forward_features(sequence)
    is_moved = moved.abs().amax(dim=1) > 1e-6
    assert bool((is_moved == (sequence.sample == 0)).all())


@ALL
def test_gradients_reach_its_parameters(build: Callable[[], Mixer]) -> None:
    model = model_with(build).train()
    model.forward_features(sequence_of(3)).square().sum().backward()
    for block in model.blocks:
        parameters = list(block.attention.parameters())
        assert parameters and all(p.grad is not None and bool(p.grad.any()) for p in parameters)
