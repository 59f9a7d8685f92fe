"""Transformers over space and time in turn: all-to-all inside a frame, causal along time at each place.

Villegas et al., "Phenaki: Variable Length Video Generation from Open Domain Textual Descriptions" (C-ViViT, 2022);
distances in time weigh on the logits as in Press et al., "Train Short, Test Long: Attention with Linear Biases Enables
Input Length Extrapolation" (ALiBi, 2021), so that there is no longest video.
"""

from __future__ import annotations

import torch
from einops import rearrange
from timm.layers import Mlp
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from tokenizers_vq.layers.past import Past
from tokenizers_vq.layers.transformer import blocks

_START = 0.02


class SpaceTransformer(nn.Module):
    """(..., Y, X, width) -> the same: each frame's places attend to one another.

    Args:
        grid: rows and columns of places.
        width: of the vectors.
        depth: blocks.
        num_heads: attention heads.
    """

    def __init__(self, grid: tuple[int, int], width: int, depth: int, num_heads: int) -> None:
        super().__init__()
        self.rows_YC = nn.Parameter(nn.init.trunc_normal_(torch.empty(grid[0], width), std=_START))
        self.columns_XC = nn.Parameter(nn.init.trunc_normal_(torch.empty(grid[1], width), std=_START))
        self.blocks = blocks(width, depth, num_heads)

    def forward(self, x: Tensor) -> Tensor:
        """(..., Y, X, width)."""
        placed = x + self.rows_YC[:, None] + self.columns_XC
        return self.blocks(placed.reshape(-1, *x.shape[-3:]).flatten(1, 2)).reshape(x.shape)


class TimeTransformer(nn.Module):
    """(B, T, ..., width) -> the same: each place attends to itself at this and earlier steps.

    Args:
        width: of the vectors.
        depth: blocks.
        num_heads: attention heads.
        window: steps that a block sees, this one among them.

    Raises:
        ValueError: a window without any step.
    """

    def __init__(self, width: int, depth: int, num_heads: int, window: int) -> None:
        super().__init__()
        if window < 1:
            raise ValueError(f"window={window}: expected at least 1, the step itself")
        self.blocks = nn.ModuleList(TimeBlock(width, num_heads, window) for _ in range(depth))
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor, past: Past | None = None) -> Tensor:
        """(B, T, ..., width).

        Args:
            x: (B, T, ..., width).
            past: memory of the steps before these; None where the sequences are whole.
        """
        moved = x.movedim(1, -2)
        h_NTC = moved.reshape(-1, *moved.shape[-2:])
        for block in self.blocks:
            h_NTC = block(h_NTC, past)
        return self.norm(h_NTC).reshape(moved.shape).movedim(-2, 1)


class TimeBlock(nn.Module):
    """Pre-norm block whose attention is causal.

    Args:
        width: of the vectors.
        num_heads: attention heads.
        window: see TimeTransformer.
    """

    def __init__(self, width: int, num_heads: int, window: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = CausalAttention(width, num_heads, window)
        self.mlp = Mlp(width, 4 * width)

    def forward(self, x_NTC: Tensor, past: Past | None = None) -> Tensor:
        """(N, T, width)."""
        x_NTC = x_NTC + self.attn(self.norm1(x_NTC), past)
        return x_NTC + self.mlp(self.norm2(x_NTC))


class CausalAttention(nn.Module):
    """Attention to this step and those before; logits fall linearly with the distance, at another slope in each head.

    Of a sequence in chunks it keeps the keys and values that its window still reaches.

    Args:
        width: of the vectors.
        num_heads: H, attention heads.
        window: see TimeTransformer.
    """

    slope_H: Tensor

    def __init__(self, width: int, num_heads: int, window: int) -> None:
        super().__init__()
        self.num_heads, self.window = num_heads, window
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.register_buffer("slope_H", slopes(num_heads), persistent=False)

    def forward(self, x_NTC: Tensor, past: Past | None = None) -> Tensor:
        """(N, T, width)."""
        q, k, v = rearrange(self.qkv(x_NTC), "n t (three h d) -> three n h t d", three=3, h=self.num_heads)
        if past is not None:
            if not past.is_start:
                k, v = torch.cat([past.of(self), torch.stack([k, v])], dim=-2)
            reached = max(0, k.shape[-2] - (self.window - 1))
            # Stacked last: a view of all steps would keep them all in memory.
            past.keep(self, torch.stack([k[..., reached:, :], v[..., reached:, :]]))
        bias = self.bias(q.shape[2], k.shape[2]).to(q.dtype)
        y = scaled_dot_product_attention(q, k, v, attn_mask=bias)
        return self.proj(rearrange(y, "n h t d -> n t (h d)"))

    def bias(self, num_queries: int, num_keys: int) -> Tensor:
        """(1, H, num_queries, num_keys) added to the logits; the queries are the last of the steps."""
        step = torch.arange(num_keys, device=self.slope_H.device)
        distance = step[num_keys - num_queries :, None] - step
        bias = -self.slope_H[:, None, None] * distance
        return bias.masked_fill((distance < 0) | (distance >= self.window), float("-inf"))[None]


def slopes(num_heads: int) -> Tensor:
    """(num_heads,) float32, from near 1 / 2 down to 1 / 256, each the same share of the one before."""
    return 2.0 ** (-8.0 * torch.arange(1, num_heads + 1) / num_heads)
