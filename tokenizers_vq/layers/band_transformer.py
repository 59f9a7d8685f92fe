"""Transformers over grids of time and bands, of unequal length."""

from __future__ import annotations

import torch
from einops import rearrange, repeat
from timm.models.vision_transformer import Block
from torch import Tensor, nn
from torch.nn.functional import gelu, pad
from torch.nn.utils.parametrizations import weight_norm

_START = 0.02


class BandTransformer(nn.Module):
    """(B, T, F, width) -> (B, T, F, width): each clip attends to itself alone, low bands first within a time step.

    Positions are convolutional over the sequence, as in BEATs (Chen et al., 2023); a learned vector a band, in place of
    its relative biases, says where in pitch a patch lies.

    Args:
        num_bands: F.
        width: of the vectors.
        depth: blocks.
        num_heads: attention heads.
        kernel_size: tokens that a convolutional position sees.
        num_groups: of that convolution.

    Raises:
        ValueError: sizes below 1, a width that heads or groups do not divide.
    """

    def __init__(
        self, num_bands: int, width: int, depth: int, num_heads: int, kernel_size: int, num_groups: int
    ) -> None:
        super().__init__()
        if min(depth, num_heads, kernel_size, num_groups) < 1:
            raise ValueError(
                f"depth={depth}, num_heads={num_heads}, kernel_size={kernel_size}, num_groups={num_groups} must be at "
                "least 1"
            )
        if width % num_heads or width % num_groups:
            raise ValueError(
                f"width={width} must be a multiple of num_heads={num_heads} and num_groups={num_groups}"
            )
        self.bands = nn.Parameter(nn.init.trunc_normal_(torch.empty(num_bands, width), std=_START))
        self.positions = weight_norm(nn.Conv1d(width, width, kernel_size, groups=num_groups), dim=2)
        self._margins = (kernel_size // 2, kernel_size - 1 - kernel_size // 2)
        self.blocks = nn.ModuleList(Block(width, num_heads, qkv_bias=True) for _ in range(depth))
        self.norm = nn.LayerNorm(width)

    def forward(self, x_BTFC: Tensor, is_valid_BT: Tensor) -> Tensor:
        """Args: x_BTFC: values; is_valid_BT: bool, False at the time steps of padding, which change nothing."""
        num_bands = x_BTFC.shape[2]
        is_valid_BN = repeat(is_valid_BT, "b t -> b (t f)", f=num_bands)
        x_BNC = rearrange(x_BTFC + self.bands, "b t f c -> b (t f) c") * is_valid_BN[..., None]
        positions_BCN = self.positions(pad(x_BNC.transpose(1, 2), self._margins))
        x_BNC = x_BNC + gelu(positions_BCN).transpose(1, 2)
        for block in self.blocks:
            x_BNC = block(x_BNC, attn_mask=is_valid_BN[:, None, None])
        return rearrange(self.norm(x_BNC), "b (t f) c -> b t f c", f=num_bands)
