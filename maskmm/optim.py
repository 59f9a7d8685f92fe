"""AdamW with decay on matrices only, and warm-up followed by a cosine."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR

_FUSED_DEVICES = ("cpu", "cuda")
"""One kernel for a whole step of AdamW; on one CPU core 3 times as fast as a loop over parameters."""


@dataclass(frozen=True)
class OptimConfig:
    """Settings of the optimizer and its schedule.

    Args:
        lr: peak learning rate.
        warmup_steps: linear warm-up from 0.
        final_lr_ratio: learning rate at the last step, as a share of the peak.
        weight_decay: on matrices; gains, biases and embeddings have none.
        betas: of AdamW.
        eps: of AdamW.

    Raises:
        ValueError: a value out of range.
    """

    lr: float = 1e-3
    warmup_steps: int = 100
    final_lr_ratio: float = 0.0
    weight_decay: float = 0.05
    betas: tuple[float, float] = (0.9, 0.98)
    eps: float = 1e-8

    def __post_init__(self) -> None:
        if (
            self.lr <= 0
            or self.warmup_steps < 0
            or not 0 <= self.final_lr_ratio <= 1
            or self.weight_decay < 0
        ):
            raise ValueError(
                f"lr={self.lr} (above 0), warmup_steps={self.warmup_steps} (at least 0), final_lr_ratio="
                f"{self.final_lr_ratio} (0 to 1), weight_decay={self.weight_decay} (at least 0): one is out of range"
            )


def build_optimizer(modules: Iterable[nn.Module], config: OptimConfig, may_fuse: bool = True) -> AdamW:
    """AdamW over the modules' trainable parameters, in a group with weight decay and one without.

    Args:
        modules: a parameter that several share is stepped once.
        config: settings.
        may_fuse: one kernel for a step where the device has it.
    """
    decayed: list[nn.Parameter] = []
    plain: list[nn.Parameter] = []
    seen: set[int] = set()
    for module in modules:
        for owner in module.modules():
            for parameter in owner.parameters(recurse=False):
                if id(parameter) in seen or not parameter.requires_grad:
                    continue
                seen.add(id(parameter))
                is_matrix = parameter.ndim >= 2 and not isinstance(owner, nn.Embedding)
                (decayed if is_matrix else plain).append(parameter)
    groups = [
        {"params": decayed, "weight_decay": config.weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]
    is_fused = may_fuse and all(p.device.type in _FUSED_DEVICES for p in decayed + plain)
    return AdamW(
        [g for g in groups if g["params"]],
        lr=config.lr,
        betas=config.betas,
        eps=config.eps,
        fused=is_fused or None,
    )


def warmup_cosine(optimizer: torch.optim.Optimizer, config: OptimConfig, total_steps: int) -> LambdaLR:
    """Linear warm-up, then a cosine from the peak to final_lr_ratio of it at total_steps."""

    def factor(step: int) -> float:
        if step < config.warmup_steps:
            return (step + 1) / config.warmup_steps
        rest = max(1, total_steps - config.warmup_steps)
        progress = min(1.0, (step - config.warmup_steps) / rest)
        cosine = 0.5 * (1 + math.cos(math.pi * progress))
        return config.final_lr_ratio + (1 - config.final_lr_ratio) * cosine

    return LambdaLR(optimizer, factor)
