"""Which number format a training run uses."""

from __future__ import annotations

import logging

import torch

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
        chosen = "bf16-mixed" if is_gpu and torch.cuda.is_bf16_supported() else "32-true"
        _LOG.info("precision: %s (chosen for the %s)", chosen, "GPU" if is_gpu else "CPU")
        return chosen
    if is_gpu or not str(asked).startswith(("bf16", "16")):
        return asked
    if str(asked).startswith("16") or not has_fast_bf16():
        raise ValueError(
            f"trainer.precision={asked!r}: this machine trains on its CPU, which has no units for such products (AMX "
            "or AVX512-BF16 for bf16, none for 16) and computes them many times slower than float32; use "
            "trainer.precision=32-true, or leave it out"
        )
    return asked


def has_fast_bf16() -> bool:
    """True where the CPU multiplies bfloat16 matrices in hardware (AMX, AVX512-BF16).

    With AVX512-BF16 alone a step of configs/tokenizer/emoji_vqgan.yaml takes 53 ms in place of 75; the casts may cost
    more than is won where matrices are small, so it is never chosen unasked.
    """
    return torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
