"""ConvNeXt blocks for sequences of unequal length: cheap, as no convolution mixes channels.

Liu et al., "A ConvNet for the 2020s" (2022); over frames of sound as in Siuzdak, "Vocos" (2023).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import pad


class ConvNeXtBlock(nn.Module):
    """Depthwise convolution over time, norm, two linear layers around GELU, beside a skip; keeps the shape.

    Args:
        width: channels.
        kernel_size: of the convolution, odd.
        expansion: the linear layers' hidden width is as many times the channels.
        is_causal: a position sees none after it.
        start: of the learned factor of each channel of the branch.
    """

    def __init__(
        self,
        width: int,
        kernel_size: int = 7,
        expansion: int = 3,
        is_causal: bool = False,
        start: float = 0.3,
    ) -> None:
        super().__init__()
        right = 0 if is_causal else kernel_size // 2
        self._margins = (kernel_size - 1 - right, right)
        # With height 1: over channels-last memory, which positions of a sequence are, the 2-D kernel is the faster one.
        self.mix = nn.Conv2d(width, width, (1, kernel_size), groups=width)
        self.norm = nn.LayerNorm(width)
        self.widen, self.narrow = nn.Linear(width, expansion * width), nn.Linear(expansion * width, width)
        self.factor = nn.Parameter(torch.full((width,), start))

    def forward(self, x_BNC: Tensor, weight_BN1: Tensor) -> Tensor:
        """Args: x_BNC: values; weight_BN1: float, 1 at real positions and 0 at padding."""
        h_BC1N = (x_BNC * weight_BN1).transpose(1, 2)[:, :, None]
        h_BNC = self.mix(pad(h_BC1N, self._margins))[:, :, 0].transpose(1, 2)
        h_BNC = self.narrow(nn.functional.gelu(self.widen(self.norm(h_BNC))))
        return x_BNC + self.factor * h_BNC


class ConvNeXtStack(nn.Module):
    """`depth` blocks and a norm.

    Args:
        width, kernel_size, expansion, is_causal: of each block.
        depth: blocks.
    """

    def __init__(self, width: int, depth: int, kernel_size: int, expansion: int, is_causal: bool) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            ConvNeXtBlock(width, kernel_size, expansion, is_causal) for _ in range(depth)
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, x_BNC: Tensor, weight_BN1: Tensor) -> Tensor:
        """Args: x_BNC: values; weight_BN1: float, 1 at real positions and 0 at padding."""
        for block in self.blocks:
            x_BNC = block(x_BNC, weight_BN1)
        return self.norm(x_BNC)
