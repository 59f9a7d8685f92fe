"""The training step with one thing changed each: a float32 stream, local windows, cuDNN's attention."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn.attention import varlen

from benchmarks.on_gpu.setting import Row, Setting
from benchmarks.on_gpu.training import Packed, started, throughput
from maskmm.nn.config import AttentionConfig, ResidualConfig


def variants(setting: Setting) -> Iterator[Row]:
    """Each variant compiles for itself; with windows the pairs that are left out count for nothing."""
    yield from _measured(setting, "float32 stream", setting.pick(1024, 32), residual=ResidualConfig())
    attention = AttentionConfig(num_heads=setting.pick(12, 1), window=setting.pick(64, 8), global_every=3)
    rows = _measured(setting, "windows of 64, global every 3rd", setting.pick(2048, 64), attention=attention)
    for row in rows:
        yield row | {"utilisation": None}


def cudnn(setting: Setting) -> Iterator[Row]:
    """The longest packs with another attention kernel."""
    with _cudnn_attention():
        yield from _measured(setting, "cuDNN attention", setting.pick(2048, 32))


@contextmanager
def _cudnn_attention() -> Iterator[None]:
    """cuDNN's packed attention, which varlen_attn takes on Hopper by itself from torch 2.14 on and has had before."""
    usual = varlen._should_use_cudnn
    varlen._should_use_cudnn = lambda device_index: True
    try:
        yield
    finally:
        varlen._should_use_cudnn = usual


def _measured(setting: Setting, name: str, longest: int, **changes: Any) -> Iterator[Row]:
    trainer, batches, row = started(setting, Packed(setting, longest), f"training, {name}", **changes)
    yield row
    yield throughput(f"training, {name}, T={longest}", trainer, batches)
    torch._dynamo.reset()
