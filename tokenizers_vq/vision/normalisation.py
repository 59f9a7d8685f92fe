"""Images as pretrained vision models want them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Normalise(nn.Module):
    """Images (B, C, H, W) in [0, 1], grey or RGB -> RGB less the mean, over the standard deviation.

    Args:
        mean, std: of each channel.
        size: height and width that the model takes; the images' own where None. Resized bicubically, antialiased.
    """

    mean_311: Tensor
    std_311: Tensor

    def __init__(
        self,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
        size: tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        self.size = size
        self.register_buffer("mean_311", torch.tensor(list(mean))[:, None, None], persistent=False)
        self.register_buffer("std_311", torch.tensor(list(std))[:, None, None], persistent=False)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """(B, 3, H, W)."""
        if self.size is not None and x_BCHW.shape[2:] != self.size:
            x_BCHW = nn.functional.interpolate(x_BCHW, self.size, mode="bicubic", antialias=True)
        return (x_BCHW.expand(-1, 3, -1, -1) - self.mean_311) / self.std_311
