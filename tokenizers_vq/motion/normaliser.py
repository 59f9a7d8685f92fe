"""Normalisation of features by statistics that are learned once and saved with the weights."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from tokenizers_vq.quantizers.distributed import sum_over_ranks

_SMALLEST = 1e-3


class Normaliser(nn.Module):
    """Mean of each feature and one deviation a group, from the first training batch; before it changes nothing.

    One deviation a group keeps features that hardly vary (a hinge's fixed axis) from being blown up.

    Args:
        width: features.
        groups: slices that together cover the features.
        weights: deviation of each group after normalisation; 1 where not given.
    """

    mean_F: Tensor
    deviation_F: Tensor
    is_fitted: Tensor

    def __init__(self, width: int, groups: Iterable[slice], weights: Sequence[float] | None = None) -> None:
        super().__init__()
        self._groups = tuple(groups)
        self._weights = (1.0,) * len(self._groups) if weights is None else tuple(weights)
        self.register_buffer("mean_F", torch.zeros(width))
        self.register_buffer("deviation_F", torch.ones(width))
        self.register_buffer("is_fitted", torch.zeros((), dtype=torch.bool))
        # Python's copy of is_fitted: reading a tensor would make a GPU wait each step.
        self._is_fitted = False
        self.register_load_state_dict_post_hook(_read)

    def forward(self, x_BTF: Tensor) -> Tensor:
        """Features -> about zero mean, and the deviation that is the group's weight."""
        return (x_BTF - self.mean_F) / self.deviation_F

    def inverse(self, x_BTF: Tensor) -> Tensor:
        """Undo `forward`."""
        return x_BTF * self.deviation_F + self.mean_F

    @torch.no_grad()
    def fit_once(self, x_BTF: Tensor, is_real_BT: Tensor) -> None:
        """Take the statistics of the real rows of all ranks together, unless that was done before."""
        if self._is_fitted:
            return
        weight_BT1 = is_real_BT[..., None].to(x_BTF)
        count = sum_over_ranks(weight_BT1.sum())
        mean_F = sum_over_ranks((x_BTF * weight_BT1).sum(dim=(0, 1))) / count
        variance_F = sum_over_ranks(((x_BTF - mean_F).square() * weight_BT1).sum(dim=(0, 1))) / count
        deviation_F = torch.empty_like(mean_F)
        for group in self._groups:
            deviation_F[group] = variance_F[group].mean().sqrt().clamp(min=_SMALLEST)
        self.set_statistics(mean_F, deviation_F)

    @torch.no_grad()
    def set_statistics(self, mean_F: Tensor, deviation_F: Tensor) -> None:
        """Take statistics that are known (a dataset's Mean.npy and Std.npy) in place of the first batch's.

        Args:
            mean_F: (width,).
            deviation_F: (width,), before the groups' weights.

        Raises:
            ValueError: other shapes, values that are not finite, or deviations that are not positive.
        """
        width = self.mean_F.shape
        if mean_F.shape != width or deviation_F.shape != width:
            raise ValueError(
                f"statistics of shapes {tuple(mean_F.shape)} and {tuple(deviation_F.shape)}, expected {tuple(width)}"
            )
        if not bool(torch.isfinite(mean_F).all() and torch.isfinite(deviation_F).all()):
            raise ValueError("the statistics hold NaN or infinite values; expected finite numbers")
        if not bool((deviation_F > 0).all()):
            raise ValueError(f"deviations from {float(deviation_F.min()):g}, expected positive numbers")
        self.mean_F.copy_(mean_F)
        for group, weight in zip(self._groups, self._weights):
            self.deviation_F[group] = deviation_F[group] / weight
        self.is_fitted.fill_(True)
        self._is_fitted = True


def _read(module: nn.Module, incompatible_keys: Any) -> None:
    assert isinstance(module, Normaliser)
    module._is_fitted = bool(module.is_fitted)
