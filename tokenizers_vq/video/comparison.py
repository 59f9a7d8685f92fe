"""Losses of images on the frames of videos."""

from __future__ import annotations

from einops import rearrange
from torch import Tensor

from tokenizers_vq.comparison import Comparison


class FrameComparison(Comparison):
    """Compares videos (B, C, T, H, W) frame by frame by a loss of images (B, C, H, W), e.g. PerceptualLoss.

    Args:
        comparison: of images.
        every: compare every so many frames, from the first on: neighbours look alike, and networks are dear.

    Raises:
        ValueError: every below 1.
    """

    def __init__(self, comparison: Comparison, every: int = 1) -> None:
        super().__init__()
        if every < 1:
            raise ValueError(f"every={every}: expected 1 (all frames) or more")
        self.comparison, self.every = comparison, every

    def forward(self, reconstruction: Tensor, target: Tensor) -> Tensor:
        """Weighted scalar."""
        frames = [
            rearrange(video[:, :, :: self.every], "b c t h w -> (b t) c h w")
            for video in (reconstruction, target)
        ]
        return self.comparison(*frames)
