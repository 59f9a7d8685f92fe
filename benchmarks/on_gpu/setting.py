"""Where a section runs and at what size: the real one on a GPU, or a tiny one that tests the script anywhere."""

from __future__ import annotations

import shutil
import statistics
import subprocess
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from maskmm.model import MaskedTransformer
from maskmm.nn.config import AttentionConfig, FeedForwardConfig, ResidualConfig
from maskmm.nn.transformer_config import TransformerConfig
from maskmm.vocabulary import Vocabulary

PEAK = 989e12  # bf16 operations per second of an H100 SXM, dense, as its data sheet says

Row = dict[str, Any]


@dataclass(frozen=True)
class Setting:
    """One run.

    Attributes:
        device: the GPU, or the CPU for a tiny run.
        is_tiny: toy sizes.
        compilation: "whole" (our training step is one graph, or an error) or "none", of our model and peers.
    """

    device: torch.device
    is_tiny: bool = False
    compilation: str = "whole"

    @property
    def is_compiled(self) -> bool:
        return self.compilation != "none"

    @property
    def is_cuda(self) -> bool:
        return self.device.type == "cuda"

    def pick(self, real: int, tiny: int) -> int:
        """The size of this run."""
        return tiny if self.is_tiny else real

    def autocast(self) -> AbstractContextManager[Any]:
        """bf16; on a CPU only to test the script."""
        return torch.autocast(self.device.type, torch.bfloat16)

    def compiled(self, call: Callable[..., Any], **options: Any) -> Callable[..., Any]:
        """`call` as one graph for each shape, where this run compiles."""
        return torch.compile(call, dynamic=False, **options) if self.is_compiled else call

    def wait(self) -> None:
        """Until the device has done what was asked of it."""
        if self.is_cuda:
            torch.cuda.synchronize()

    def peak_gib(self) -> float:
        """Most memory that tensors took since the last call; 0 without a GPU."""
        if not self.is_cuda:
            return 0.0
        peak = torch.cuda.max_memory_allocated() / 2**30
        torch.cuda.reset_peak_memory_stats()
        return round(peak, 2)

    def busy_mhz(self, call: Callable[[int], object], repeats: int) -> int | None:
        """The GPU's clock while `repeats` calls are under way; None without a GPU that tells it."""
        if not self.is_cuda or shutil.which("nvidia-smi") is None:
            return None
        for index in range(repeats):
            call(index)
        query = ["nvidia-smi", "--query-gpu=clocks.sm", "--format=csv,noheader,nounits"]
        told = subprocess.run(query, capture_output=True, text=True, check=False).stdout.split()
        self.wait()
        return int(told[0]) if told and told[0].isdecimal() else None

    def seconds(self, call: Callable[[int], object], repeats: int) -> float:
        """Wall seconds of one call(i) among `repeats` without a pause between them."""
        self.wait()
        start = time.perf_counter()
        for index in range(repeats):
            call(index)
        self.wait()
        return (time.perf_counter() - start) / repeats

    def base_model(self, vocabulary: Vocabulary, longest: int, **changes: Any) -> MaskedTransformer:
        """The house's encoder at base size: 12 layers of width 768, 84.9 M weights in its matrices, a bf16 stream."""
        width = self.pick(768, 64)
        config = TransformerConfig(
            width=width,
            depth=self.pick(12, 2),
            attention=changes.pop("attention", AttentionConfig(num_heads=width // 64)),
            ffn=FeedForwardConfig(width=8 * width // 3),
            residual=changes.pop("residual", ResidualConfig(has_half_stream=True)),
            max_length=longest,
            **changes,
        )
        torch.manual_seed(0)
        return MaskedTransformer(vocabulary, config).to(self.device)


def rounds_of(measure: Callable[[], float], rounds: int) -> tuple[float, float, float]:
    """Median, smallest and largest of several measurements."""
    values = [measure() for _ in range(rounds)]
    return statistics.median(values), min(values), max(values)


def matrix_weights(model: MaskedTransformer) -> int:
    """Weights that take part in matrix products of every row."""
    modules = (m for m in model.blocks.modules() if isinstance(m, nn.Linear))
    return sum(m.weight.numel() for m in modules)
