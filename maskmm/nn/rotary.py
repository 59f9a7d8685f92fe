"""Rotary positions on N axes (Su et al., "RoFormer", 2021), head channels shared out among the axes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

import torch
from einops import rearrange
from torch import Tensor, nn

from maskmm.nn.config import Pairing
from maskmm.nn.coordinates import num_axes
from maskmm.nn.transformer_config import TransformerConfig
from maskmm.vocabulary import Vocabulary


class AxialRotary(nn.Module):
    """Angles for rows whose position has several axes.

    Pair p of a head turns with axis p mod A, so every axis gets the whole range of frequencies.

    Args:
        head_width: K, even.
        num_axes: A.
        base: largest wavelength over 2 pi, in tokens.

    Raises:
        ValueError: fewer channel pairs than axes.
    """

    inv_freq: Tensor
    axis: Tensor

    def __init__(self, head_width: int, num_axes: int, base: float) -> None:
        super().__init__()
        num_pairs = head_width // 2
        if head_width % 2 or (num_axes and num_pairs < num_axes):
            raise ValueError(
                f"head width {head_width} has {head_width / 2:g} channel pairs for {num_axes} position axes; "
                "it must be even, with at least one pair an axis"
            )
        axes = max(num_axes, 1)
        pair = torch.arange(num_pairs)
        per_axis = (num_pairs + axes - 1) // axes
        self.register_buffer("inv_freq", base ** (-(pair // axes).float() / per_axis), persistent=False)
        self.register_buffer("axis", pair % axes, persistent=False)
        self.num_axes = num_axes

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        # Frequencies are never below float32: in a model cast to bfloat16 the angles of far rows would be off by half
        # a radian.
        whole = self.inv_freq
        super()._apply(fn, recurse)
        dtype = torch.promote_types(torch.float32, self.inv_freq.dtype)
        self.inv_freq = whole.to(self.inv_freq.device, dtype)
        return self

    def forward(self, position: Tensor) -> tuple[Tensor, Tensor]:
        """position (N, A) -> (cos, sin), each (N, 1, K / 2) float32; float64 in a model cast to it."""
        if not self.num_axes:
            position = position.new_zeros(position.shape[0], 1)
        cos, sin = rotary_angles_op(position, self.axis, self.inv_freq)
        return cos[:, None], sin[:, None]


# An operator, so that a compiled graph computes the angles once: it would fold cosines into every layer's kernels.
@torch.library.custom_op("maskmm::rotary_angles", mutates_args=())
def rotary_angles_op(position: Tensor, axis: Tensor, inv_freq: Tensor) -> tuple[Tensor, Tensor]:
    """(N, A) positions, (P,) axis and frequency of each pair -> cosines and sines (N, P)."""
    angle = position[:, axis].to(inv_freq.dtype) * inv_freq
    return angle.cos(), angle.sin()


@rotary_angles_op.register_fake
def _(position: Tensor, axis: Tensor, inv_freq: Tensor) -> tuple[Tensor, Tensor]:
    shape = (position.shape[0], axis.shape[0])
    return inv_freq.new_empty(shape), inv_freq.new_empty(shape)


def build_rotary(vocabulary: Vocabulary, config: TransformerConfig, base: float | None) -> AxialRotary | None:
    """Rotary positions of the model that the config describes; None where the base is."""
    if base is None:
        return None
    return AxialRotary(config.head_width, num_axes(vocabulary, config.positions.source), base)


def rotate(x_NHK: Tensor, cos: Tensor, sin: Tensor, pairing: Pairing = "interleaved") -> Tensor:
    """Turn the channel pairs of each head by the angles of its row; (N, H, K) -> (N, H, K).

    Args:
        x_NHK: queries or keys.
        cos, sin: (N, 1, K / 2).
        pairing: pair p is channels (2p, 2p + 1), or (p, p + K / 2) where "halves".
    """
    if pairing == "halves":
        return _rotate_halves(x_NHK, cos, sin)
    pairs = rearrange(x_NHK, "n h (p two) -> n h p two", two=2)
    if x_NHK.device.type == "cpu" and x_NHK.dtype == torch.float32 and not torch.compiler.is_compiling():
        # One complex product: 2.9 times faster forward and backward than the real form below on this device.
        turned = torch.view_as_complex(pairs.contiguous()) * torch.complex(cos, sin)
        return rearrange(torch.view_as_real(turned), "n h p two -> n h (p two)")
    return _rotate_real(pairs, cos, sin)


def _rotate_real(pairs: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    first, second = pairs.unbind(-1)
    turned = torch.stack([first * cos - second * sin, second * cos + first * sin], dim=-1)
    return rearrange(turned, "n h p two -> n h (p two)").to(pairs.dtype)


def _rotate_halves(x_NHK: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    first, second = x_NHK.chunk(2, dim=-1)
    swapped = torch.cat([second, first], dim=-1)
    # 1.7 times faster forward and backward than turning each half on its own.
    turned = torch.addcmul(x_NHK * torch.cat([cos, cos], dim=-1), swapped, torch.cat([-sin, sin], dim=-1))
    return turned.to(x_NHK.dtype)
