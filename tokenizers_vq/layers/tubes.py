"""Videos cut in patches of the first frame and tubes of several frames after it, and put together again."""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor, nn

from tokenizers_vq.layers.transformer import tanh_bottleneck


class TubeEmbedding(nn.Module):
    """(B, C, T, H, W) -> (B, n, Y, X, width): a linear map of each patch, and another of each tube.

    Args:
        channels: of the frames.
        patch_size: pixels of a patch along each axis.
        num_frames: frames of a tube.
        width: of the vectors.
    """

    def __init__(self, channels: int, patch_size: int, num_frames: int, width: int) -> None:
        super().__init__()
        self.patch_size, self.num_frames = patch_size, num_frames
        self.of_first = nn.Linear(channels * patch_size**2, width)
        self.of_later = nn.Linear(num_frames * channels * patch_size**2, width)

    def forward(self, x_BCTHW: Tensor, has_first: bool = True) -> Tensor:
        """(B, n, Y, X, width); T is 1 + k num_frames where the first frame of the video is among them, else k."""
        tubes = []
        if has_first:
            tubes.append(self.of_first(self._cut(x_BCTHW[:, :, :1], 1)))
            x_BCTHW = x_BCTHW[:, :, 1:]
        if x_BCTHW.shape[2]:
            tubes.append(self.of_later(self._cut(x_BCTHW, self.num_frames)))
        return torch.cat(tubes, dim=1)

    def _cut(self, x_BCTHW: Tensor, num_frames: int) -> Tensor:
        pattern = "b c (t f) (y i) (x j) -> b t y x (f c i j)"
        return rearrange(x_BCTHW, pattern, f=num_frames, i=self.patch_size, j=self.patch_size)


class TubePixels(nn.Module):
    """(B, n, Y, X, width) -> (B, C, T, H, W), the mirror of TubeEmbedding.

    Args:
        channels, patch_size, num_frames, width: see TubeEmbedding.
    """

    def __init__(self, channels: int, patch_size: int, num_frames: int, width: int) -> None:
        super().__init__()
        self.channels, self.patch_size, self.num_frames = channels, patch_size, num_frames
        self.of_first = tanh_bottleneck(width, channels * patch_size**2)
        self.of_later = tanh_bottleneck(width, num_frames * channels * patch_size**2)

    def forward(self, x_BNYXC: Tensor, has_first: bool = True) -> Tensor:
        """(B, C, T, H, W)."""
        frames = []
        if has_first:
            frames.append(self._join(self.of_first(x_BNYXC[:, :1]), 1))
            x_BNYXC = x_BNYXC[:, 1:]
        if x_BNYXC.shape[1]:
            frames.append(self._join(self.of_later(x_BNYXC), self.num_frames))
        return torch.cat(frames, dim=2)

    def _join(self, values: Tensor, num_frames: int) -> Tensor:
        pattern = "b t y x (f c i j) -> b c (t f) (y i) (x j)"
        sizes = {"f": num_frames, "c": self.channels, "i": self.patch_size, "j": self.patch_size}
        return rearrange(values, pattern, **sizes)
