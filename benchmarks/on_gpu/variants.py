"""The training step with one thing changed each: a float32 stream, local windows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

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


def _measured(setting: Setting, name: str, longest: int, **changes: Any) -> Iterator[Row]:
    trainer, batches, row = started(setting, Packed(setting, longest), f"training, {name}", **changes)
    yield row
    yield throughput(f"training, {name}, T={longest}", trainer, batches)
    torch._dynamo.reset()
