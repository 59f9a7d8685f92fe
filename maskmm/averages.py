"""What averaged weights must leave alone."""

from __future__ import annotations

import lightning
from lightning.pytorch.callbacks import WeightAveraging


def check_averages(trainer: lightning.Trainer) -> None:
    """Refuse averages of buffers: torch rounds those of whole numbers down (0.9 x 12 + 0.1 x 12 = 11).

    Places in tables, axes and seeds are such buffers; validation under averaged weights would read wrong ones.

    Raises:
        ValueError: a callback that averages weights and buffers.
    """
    for callback in getattr(trainer, "callbacks", ()):
        if isinstance(callback, WeightAveraging) and callback._use_buffers:
            raise ValueError(
                f"{type(callback).__name__} averages buffers too (use_buffers=True), which rounds those of whole "
                "numbers down; give it use_buffers=False"
            )
