"""Vision transformers of timm's blocks: patches to vectors, vectors to vectors."""

from __future__ import annotations

import torch
from timm.models.vision_transformer import Block
from torch import Tensor, nn

_START = 0.02


class PatchEncoder(nn.Module):
    """(B, C, H, W) -> (B, Y X, width): linear patches, learned positions, transformer blocks and a norm.

    Dosovitskiy et al., "An Image is Worth 16x16 Words" (ViT, 2020).

    Args:
        grid: patches along each axis.
        channels: of the images.
        patch_size: pixels of a patch along each axis.
        width: of the vectors.
        depth: blocks.
        num_heads: attention heads.
        num_latents: learned vectors that run along with the patches and are returned in their place (Yu et al., "An
            Image is Worth 32 Tokens", TiTok, 2024); 0 returns the patches.
    """

    def __init__(
        self,
        grid: tuple[int, int],
        channels: int,
        patch_size: int,
        width: int,
        depth: int,
        num_heads: int,
        num_latents: int = 0,
    ) -> None:
        super().__init__()
        self.num_latents = num_latents
        self.to_patches = nn.Conv2d(channels, width, patch_size, patch_size)
        self.places = _learned(grid[0] * grid[1], width)
        self.latents = _learned(num_latents, width) if num_latents else None
        self.blocks = blocks(width, depth, num_heads)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """(B, N, width), N = num_latents, or the number of patches in rows."""
        tokens_BNC = self.to_patches(x_BCHW).flatten(2).transpose(1, 2) + self.places
        if self.latents is not None:
            tokens_BNC = torch.cat([tokens_BNC, self.latents.expand(x_BCHW.shape[0], -1, -1)], dim=1)
        tokens_BNC = self.blocks(tokens_BNC)
        return tokens_BNC[:, -self.num_latents :] if self.num_latents else tokens_BNC


class TokenDecoder(nn.Module):
    """(B, N, width) -> (B, Y X, width): transformer blocks over vectors of a grid, or of 1-D tokens.

    Args:
        num_places: Y X, vectors that come out.
        width, depth, num_heads: see PatchEncoder.
        num_latents: 1-D tokens that go in, beside one mask vector a place; 0 where the vectors are the places'.
    """

    def __init__(self, num_places: int, width: int, depth: int, num_heads: int, num_latents: int = 0) -> None:
        super().__init__()
        self.num_places = num_places
        self.places = _learned(num_places, width)
        self.latents = _learned(num_latents, width) if num_latents else None
        self.mask = _learned(1, width) if num_latents else None
        self.blocks = blocks(width, depth, num_heads)

    def forward(self, tokens_BNC: Tensor) -> Tensor:
        """(B, Y X, width)."""
        if self.latents is None or self.mask is None:
            return self.blocks(tokens_BNC + self.places)
        places = (self.mask + self.places).expand(tokens_BNC.shape[0], -1, -1)
        return self.blocks(torch.cat([places, tokens_BNC + self.latents], dim=1))[:, : self.num_places]


def blocks(width: int, depth: int, num_heads: int) -> nn.Sequential:
    """Pre-norm transformer blocks, and a norm."""
    return nn.Sequential(*(Block(width, num_heads, qkv_bias=True) for _ in range(depth)), nn.LayerNorm(width))


def tanh_bottleneck(in_width: int, out_width: int) -> nn.Sequential:
    """Linear, tanh, linear, as ViT-VQGAN and BEiT v2 have before the codebook and after the decoder."""
    return nn.Sequential(nn.Linear(in_width, in_width), nn.Tanh(), nn.Linear(in_width, out_width))


def check_transformer(width: int, depth: int, num_heads: int, patch_size: int) -> None:
    """Raise ValueError unless the sizes make a vision transformer."""
    if depth < 1 or patch_size < 1:
        raise ValueError(f"depth={depth} and patch_size={patch_size} must be at least 1")
    if num_heads < 1 or width % num_heads:
        raise ValueError(f"width={width} must be a multiple of num_heads={num_heads}")


def _learned(count: int, width: int) -> nn.Parameter:
    return nn.Parameter(nn.init.trunc_normal_(torch.empty(1, count, width), std=_START))
