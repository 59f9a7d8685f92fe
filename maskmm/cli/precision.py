"""Which number format a training run uses."""

from __future__ import annotations

import logging

import torch

from maskmm.half_precision import check_half_precision_on_cpu

_LOG = logging.getLogger(__name__)


def choose_precision(asked: str | int | None, accelerator: str) -> str | int:
    """The Trainer's `precision`: what was asked for, or the best that the hardware has.

    Args:
        asked: the Trainer's argument; None leaves the choice to this function, which logs it.
        accelerator: the Trainer's argument: "auto", "cpu", "gpu", "cuda" ...

    Raises:
        ValueError: half precision on a CPU that only emulates it.
    """
    is_gpu = accelerator != "cpu" and torch.cuda.is_available()
    if asked is None:
        # GPUs before Ampere emulate bfloat16, many times slower than float32.
        has_bf16 = is_gpu and torch.cuda.is_bf16_supported(including_emulation=False)
        chosen = "bf16-mixed" if has_bf16 else "32-true"
        _LOG.info("precision: %s (chosen for the %s)", chosen, "GPU" if is_gpu else "CPU")
        return chosen
    if not is_gpu:
        check_half_precision_on_cpu(asked)
    return asked
