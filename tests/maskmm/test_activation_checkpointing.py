"""Blocks computed again in the backward: the same loss and gradients bit by bit, from fewer kept tensors."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from maskmm.model import MaskedTransformer, TransformerConfig
from maskmm.module import MaskedModule
from maskmm.nn.config import AttentionConfig, FeedForwardConfig, PositionConfig, ResidualConfig
from maskmm.sequence import pack
from tests.maskmm.decoding.stubs import MODALITIES, VOCABULARY, full_batch

CONFIG = TransformerConfig(
    width=16, depth=4, attention=AttentionConfig(num_heads=2), ffn=FeedForwardConfig(width=64), init_std=0.3
)
CONFIGS = {
    "plain": CONFIG,
    "dropout and drop path": replace(CONFIG, residual=ResidualConfig(dropout=0.3, drop_path=0.5)),
    "window and bias": replace(
        CONFIG,
        attention=AttentionConfig(num_heads=2, window=3, global_every=2),
        positions=PositionConfig(bias="gated_bucketed"),
    ),
    "depth average": replace(CONFIG, residual=ResidualConfig(has_depth_average=True)),
}


def loss_and_gradients(config: TransformerConfig, is_checkpointed: bool) -> tuple[Tensor, list[Tensor], int]:
    torch.manual_seed(0)
    model = MaskedTransformer(VOCABULARY, config).train()
    model.checkpoints_activations = is_checkpointed
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    torch.manual_seed(1)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = model(pack(full_batch(5), VOCABULARY)).square().sum()
    num_bytes = sum(kept.values())
    loss.backward()
    return loss.detach(), [p.grad for p in model.parameters() if p.grad is not None], num_bytes


@pytest.mark.parametrize("name", CONFIGS)
def test_same_loss_and_gradients_from_less_memory(name: str) -> None:
    loss, gradients, num_bytes = loss_and_gradients(CONFIGS[name], is_checkpointed=False)
    again, same, fewer = loss_and_gradients(CONFIGS[name], is_checkpointed=True)
    assert torch.equal(loss, again)
    assert len(gradients) == len(same) and all(torch.equal(a, b) for a, b in zip(gradients, same))
    assert fewer < 0.6 * num_bytes


def test_it_is_an_option_of_the_training_module() -> None:
    assert MaskedModule(MODALITIES, CONFIG, checkpoints_activations=True).model.checkpoints_activations
    assert not MaskedModule(MODALITIES, CONFIG).model.checkpoints_activations
