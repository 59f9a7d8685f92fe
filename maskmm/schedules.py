"""How much stays masked: schedules that fall from 1 to 0, for training ratios and for decoding steps."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import overload

import torch
from torch import Tensor

_ROUNDING = 1e-9  # so that 0.1 * 10, computed as 0.9999999999999998, still counts as 1


class MaskSchedule(ABC):
    """gamma: [0, 1] -> [0, 1], falling, gamma(0) = 1 and gamma(1) = 0.

    Training draws u uniformly and masks the share gamma(u); decoding leaves the share gamma(t / T) masked after
    step t of T. A subclass says `_gamma`.
    """

    @overload
    def __call__(self, x: float) -> float: ...
    @overload
    def __call__(self, x: Tensor) -> Tensor: ...
    def __call__(self, x: float | Tensor) -> float | Tensor:
        """The share that stays masked, of the kind of `x` (float, or a floating tensor of any shape).

        Raises:
            ValueError: a float outside [0, 1] (tensors are not looked at, which would wait for their device).
        """
        if isinstance(x, Tensor):
            return self._gamma(x)
        if not 0.0 <= x <= 1.0:
            raise ValueError(f"mask schedule at {x}, expected a share of the way from 0 to 1")
        return float(self._gamma(torch.tensor(x, dtype=torch.float64)))

    @abstractmethod
    def _gamma(self, x: Tensor) -> Tensor: ...

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash((type(self), *sorted(vars(self).items())))

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class CosineSchedule(MaskSchedule):
    """cos(pi x / 2): few tokens at first, many at the end (Chang et al., MaskGIT, 2022)."""

    def _gamma(self, x: Tensor) -> Tensor:
        return torch.cos(x * (math.pi / 2)).clamp(min=0.0)


class LinearSchedule(MaskSchedule):
    """1 - x: the same number at every step."""

    def _gamma(self, x: Tensor) -> Tensor:
        return 1.0 - x


class ArccosSchedule(MaskSchedule):
    """2 / pi arccos(x), the inverse function of the cosine schedule (Besnier et al., Halton-MaskGIT, 2025)."""

    def _gamma(self, x: Tensor) -> Tensor:
        return torch.acos(x) * (2 / math.pi)


def num_masked(schedule: MaskSchedule, num_steps: int, unknown_at_start: Tensor) -> Tensor:
    """How many slots of each sample are still masked after each decoding step.

    A sample with n unknown slots takes T = min(num_steps, n) steps. After step t it has floor(gamma(t / T) n) masked
    slots (MaskGIT), but at least one fewer than before, and at least T - t, so that every step has work to do.

    Args:
        schedule: gamma.
        num_steps: most steps a sample may take.
        unknown_at_start: (B,) int64, n; never the size of the grid, so that inpainting follows the same curve.

    Returns:
        (B, num_steps + 1) int64; column t is the count after step t, column 0 is n, and 0 from column T on.

    Raises:
        ValueError: num_steps below 1.
    """
    if num_steps < 1:
        raise ValueError(f"num_steps={num_steps}, expected at least 1")
    start_B1 = unknown_at_start[:, None]
    steps_B1 = start_B1.clamp(max=num_steps)
    step_T = torch.arange(num_steps + 1, device=unknown_at_start.device)
    progress_BT = (step_T.double() / steps_B1.clamp(min=1)).clamp(max=1.0)
    wanted_BT = torch.floor(schedule(progress_BT) * start_B1 + _ROUNDING).long()
    wanted_BT[:, 0] = unknown_at_start
    # "At least one fewer than before", for all steps at once: m(t) = min over s <= t of wanted(s) - (t - s).
    falling_BT = (wanted_BT + step_T).cummin(dim=1).values - step_T
    return torch.maximum(falling_BT, (steps_B1 - step_T).clamp(min=0))
