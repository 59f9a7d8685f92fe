"""Depth-weighted averaging (Pagliardini et al., "DenseFormer", 2024)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class DepthAverage(nn.Module):
    """After block i: a learned weighted sum of the embedding and the outputs of blocks 1 to i.

    Weights start at 1 for the newest and 0 for all others: the model starts as the plain one.

    Args:
        depth: number of blocks.
    """

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.weights = nn.ParameterList(_newest(count) for count in range(2, depth + 2))

    def forward(self, outputs: list[Tensor]) -> Tensor:
        """Embedding and outputs of blocks 1 .. i, each (N, D) -> what block i + 1 reads (N, D)."""
        weight = self.weights[len(outputs) - 2]
        total = weight[0] * outputs[0]
        for value, output in zip(weight[1:], outputs[1:]):
            total = total + value * output
        return total


def _newest(count: int) -> nn.Parameter:
    weight = torch.zeros(count)
    weight[-1] = 1.0
    return nn.Parameter(weight)
