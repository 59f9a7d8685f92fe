"""Which CPUs multiply half precision in hardware, and a refusal of those that emulate it."""

from __future__ import annotations

import torch

_HALF = ("bf16", "16")


def check_half_precision_on_cpu(precision: str | int) -> None:
    """Refuse half precision that a CPU would only emulate, 3 to 10 times slower than float32.

    Args:
        precision: a Lightning Trainer's `precision` for a training on this machine's CPU: "bf16-mixed", "16-true" ...

    Raises:
        ValueError: float16, or bfloat16 without AMX or AVX512-BF16.
    """
    asked = str(precision)
    if asked.startswith(_HALF) and (asked.startswith("16") or not has_fast_bf16()):
        raise ValueError(
            f"trainer.precision={precision!r}: this machine trains on its CPU, which has no units for such products "
            "(AMX or AVX512-BF16 for bf16, none for 16) and computes them many times slower than float32; use "
            "trainer.precision=32-true, or leave it out"
        )


def has_fast_bf16() -> bool:
    """True where the CPU multiplies bfloat16 matrices in hardware (AMX, AVX512-BF16).

    With AVX512-BF16 alone a step of configs/tokenizer/emoji_vqgan.yaml takes 53 ms in place of 75; the casts may cost
    more than is won where matrices are small, so it is never chosen unasked.
    """
    return torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
