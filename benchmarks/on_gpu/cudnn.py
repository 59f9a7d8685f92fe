"""cuDNN's packed attention under the training step, where `varlen` does not take it: what it would gain, or break."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch.nn.attention import varlen

from benchmarks.on_gpu.kernels import kernel_shares
from benchmarks.on_gpu.parity import CASES, attention_errors, attention_row
from benchmarks.on_gpu.setting import Row, Setting
from benchmarks.on_gpu.training import GOALS, Packed, started, throughput
from maskmm.nn.backends import varlen as packed

_SHORTEST = 128  # up to here varlen_attn keeps FlashAttention
_WITH_EMPTY = [300, 0, 212, 0]  # said to be wrong before cuDNN 9.25: to be seen


def cudnn(setting: Setting) -> Iterator[Row]:
    """Parity first, then the longest packs and their kernels."""
    name = "cuDNN attention"
    is_taken = setting.is_cuda and varlen._should_use_cudnn(torch.cuda.current_device())
    if is_taken and packed.is_cudnn_sound():
        reason = f"varlen_attn of torch {torch.__version__} takes cuDNN by itself: so do the training rows"
        yield {"row": f"training, {name}", "skipped": reason}
        return
    longest = setting.pick(2048, 32)
    with _cudnn_attention():
        for kind, lengths in CASES.items():
            if max(lengths) > _SHORTEST:
                yield attention_row(setting, f"parity of {name}, {kind}", lengths)
        yield {"row": f"parity of {name}, with empty samples", **attention_errors(setting, _WITH_EMPTY, True)}
        trainer, batches, row = started(setting, Packed(setting, longest), f"training, {name}")
        yield row
        goal = {"goal_tokens_per_s": GOALS.get(longest)}
        yield throughput(f"training, {name}, T={longest}", trainer, batches) | goal
        yield from kernel_shares(setting, partial(trainer.step, batches[0]), f"training, {name}, T={longest}")


@contextmanager
def _cudnn_attention() -> Iterator[None]:
    """The kernel that varlen_attn takes on Hopper by itself from torch 2.14 on, and has had before.

    Also where this cuDNN is too old for samples without rows.
    """
    usual, is_sound = varlen._should_use_cudnn, packed.is_cudnn_sound
    varlen._should_use_cudnn, packed.is_cudnn_sound = lambda device_index: True, lambda: True
    try:
        yield
    finally:
        varlen._should_use_cudnn, packed.is_cudnn_sound = usual, is_sound
