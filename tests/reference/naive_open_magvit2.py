"""Open-MAGVIT2's image tokenizer as a walk over named weights, which are drawn at their first use."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

WIDTHS = (32, 32, 64)
BLOCKS = 2


class NaiveOpenMagvit2:
    """Three resolutions, two blocks each, `bits` channels of codes."""

    def __init__(self, bits: int = 6) -> None:
        self.bits = bits
        self.weights: dict[str, Tensor] = {}
        self.generator = torch.Generator().manual_seed(0)

    def weight(self, name: str, *shape: int) -> Tensor:
        if name not in self.weights:
            scale = 0.1 if name.endswith("bias") else torch.Size(shape[1:]).numel() ** -0.5
            self.weights[name] = torch.randn(shape, generator=self.generator) * scale
        return self.weights[name]

    def conv(
        self, name: str, x: Tensor, out: int, kernel: int = 3, stride: int = 1, has_bias: bool = True
    ) -> Tensor:
        weight = self.weight(f"{name}.weight", out, x.shape[1], kernel, kernel)
        bias = self.weight(f"{name}.bias", out) if has_bias else None
        return F.conv2d(x, weight, bias, stride, kernel // 2)

    def norm(self, name: str, x: Tensor) -> Tensor:
        weight, bias = self.weight(f"{name}.weight", x.shape[1]), self.weight(f"{name}.bias", x.shape[1])
        return F.group_norm(x, 32, weight, bias, 1e-6)

    def block(self, name: str, x: Tensor, out: int) -> Tensor:
        h = self.conv(f"{name}.conv1", F.silu(self.norm(f"{name}.norm1", x)), out, has_bias=False)
        h = self.conv(f"{name}.conv2", F.silu(self.norm(f"{name}.norm2", h)), out, has_bias=False)
        return h + (x if x.shape[1] == out else self.conv(f"{name}.nin_shortcut", x, out, 1, has_bias=False))

    def blocks(self, name: str, x: Tensor, out: int) -> Tensor:
        for number in range(BLOCKS):
            x = self.block(f"{name}.{number}", x, out)
        return x

    def adapt(self, name: str, x: Tensor, z: Tensor) -> Tensor:
        out = torch.empty_like(x)
        for sample in range(len(x)):
            places = z[sample].reshape(self.bits, -1)
            mean = places.sum(1) / places.shape[1]
            spread = ((places - mean[:, None]) ** 2).sum(1) / (places.shape[1] - 1)
            scale, shift = (
                self.weight(f"{name}.{part}.weight", x.shape[1], self.bits) @ value
                + self.weight(f"{name}.{part}.bias", x.shape[1])
                for part, value in (("gamma", (spread + 1e-6).sqrt()), ("beta", mean))
            )
            normal = F.group_norm(x[sample : sample + 1], 32, None, None, 1e-6)[0]
            out[sample] = normal * scale[:, None, None] + shift[:, None, None]
        return out

    def upsample(self, name: str, x: Tensor) -> Tensor:
        width = x.shape[1]
        h = self.conv(f"{name}.conv1", x, 4 * width)
        out = x.new_empty(len(x), width, 2 * x.shape[2], 2 * x.shape[3])
        for row in range(2):
            for column in range(2):
                first = (2 * row + column) * width
                out[:, :, row::2, column::2] = h[:, first : first + width]
        return out

    def encode(self, x: Tensor) -> Tensor:
        """Codes (B, Y, X) of images in [-1, 1]."""
        h = self.conv("encoder.conv_in", x, WIDTHS[0], has_bias=False)
        for index, width in enumerate(WIDTHS):
            h = self.blocks(f"encoder.down.{index}.block", h, width)
            if index < len(WIDTHS) - 1:
                h = self.conv(f"encoder.down.{index}.downsample", h, width, stride=2)
        h = self.blocks("encoder.mid_block", h, WIDTHS[-1])
        h = self.conv("encoder.conv_out", F.silu(self.norm("encoder.norm_out", h)), self.bits, 1)
        return sum((h[:, bit] > 0).long() * 2**bit for bit in range(self.bits))

    def decode(self, codes: Tensor) -> Tensor:
        """Images, about in [-1, 1]."""
        z = torch.stack([(codes >> bit & 1).float() * 2 - 1 for bit in range(self.bits)], dim=1)
        h = self.blocks("decoder.mid_block", self.conv("decoder.conv_in", z, WIDTHS[-1]), WIDTHS[-1])
        for index in reversed(range(len(WIDTHS))):
            h = self.adapt(f"decoder.adaptive.{index}", h, z)
            h = self.blocks(f"decoder.up.{index}.block", h, WIDTHS[index])
            h = self.upsample(f"decoder.up.{index}.upsample", h) if index else h
        return self.conv("decoder.conv_out", F.silu(self.norm("decoder.norm_out", h)), 3)
