"""AdamW and the learning rate over a training run."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


def adamw(
    parameters: Iterable[nn.Parameter], lr: float, betas: tuple[float, float], weight_decay: float
) -> Optimizer:
    """AdamW whose weight decay is on matrices and kernels alone."""
    trained = [p for p in parameters if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=lr, betas=betas)


def warmup_cosine(optimizer: Optimizer, warmup_steps: int, total_steps: int, final: float) -> LambdaLR:
    """A linear warm-up to the optimizer's rate, then a cosine down to `final` of it at `total_steps`."""

    def share(step: int) -> float:
        warmup = min(1.0, (step + 1) / max(1, warmup_steps))
        cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, step / max(1, total_steps))))
        return warmup * (final + (1 - final) * cosine)

    return LambdaLR(optimizer, share)
