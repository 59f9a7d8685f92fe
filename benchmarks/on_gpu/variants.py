"""The training step with one thing changed each: a bf16 stream between the layers, local windows."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from benchmarks.on_gpu.setting import Row, Setting
from benchmarks.on_gpu.training import Packed, Trainer, first_step, throughput
from maskmm.model import MaskedTransformer
from maskmm.nn.config import AttentionConfig


class HalfStream(nn.Module):
    """Stands after the embedding: under autocast the sums of all layers are kept in bf16 instead of float32."""

    def forward(self, x_ND: Tensor) -> Tensor:
        """(N, D) -> (N, D)."""
        return x_ND.bfloat16() if torch.is_autocast_enabled(x_ND.device.type) else x_ND


def variants(setting: Setting) -> Iterator[Row]:
    """Each variant compiles for itself; what is counted as work is the same but for windows, which is left out."""
    packed = Packed(setting)
    vocabulary, length = packed.packer.vocabulary, setting.pick(1024, 32)
    half = setting.base_model(vocabulary, packed.longest)
    half.embedding_dropout = HalfStream()
    yield from _measured("bf16 stream", setting, half, packed, length)
    heads = setting.pick(12, 1)
    attention = AttentionConfig(num_heads=heads, window=setting.pick(64, 8), global_every=3)
    local = setting.base_model(vocabulary, packed.longest, attention=attention)
    for row in _measured("windows of 64, global every 3rd", setting, local, packed, setting.pick(2048, 64)):
        yield row | {"utilisation": None}


def _measured(
    name: str, setting: Setting, model: MaskedTransformer, packed: Packed, length: int
) -> Iterator[Row]:
    trainer = Trainer(setting, model)
    yield first_step(trainer, packed) | {"row": f"training, {name}, first step"}
    batches = [packed.full(length, seed) for seed in range(4)]
    yield throughput(f"training, {name}, T={length}", trainer, batches)
    torch._dynamo.reset()
