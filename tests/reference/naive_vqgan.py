"""The VQGAN of taming-transformers and LlamaGen as a walk over named weights, which are drawn at their first use."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

WIDTHS = (32, 64)


class NaiveVQGAN:
    """Two resolutions, one block each (two in the decoder), attention at the lower one.

    names: "taming" or "llamagen", how the weights are called.
    """

    def __init__(self, names: str, codes: int = 16, dim: int = 4) -> None:
        self.is_llamagen = names == "llamagen"
        self.weights: dict[str, Tensor] = {}
        self.generator = torch.Generator().manual_seed(0)
        self.codebook = self.weight("quantize.embedding.weight", codes, dim)
        self.dim = dim

    def weight(self, name: str, *shape: int) -> Tensor:
        if name not in self.weights:
            scale = 0.1 if name.endswith("bias") else torch.Size(shape[1:]).numel() ** -0.5
            self.weights[name] = torch.randn(shape, generator=self.generator) * scale
        return self.weights[name]

    def conv(self, name: str, x: Tensor, out: int, kernel: int = 3, stride: int = 1) -> Tensor:
        weight = self.weight(f"{name}.weight", out, x.shape[1], kernel, kernel)
        if stride == 2:
            x = F.pad(x, (0, 1, 0, 1))
        padding = kernel // 2 if stride == 1 else 0
        return F.conv2d(x, weight, self.weight(f"{name}.bias", out), stride, padding)

    def norm(self, name: str, x: Tensor) -> Tensor:
        weight, bias = self.weight(f"{name}.weight", x.shape[1]), self.weight(f"{name}.bias", x.shape[1])
        return F.group_norm(x, 32, weight, bias, 1e-6)

    def block(self, name: str, x: Tensor, out: int) -> Tensor:
        h = self.conv(f"{name}.conv1", F.silu(self.norm(f"{name}.norm1", x)), out)
        h = self.conv(f"{name}.conv2", F.silu(self.norm(f"{name}.norm2", h)), out)
        return h + (x if x.shape[1] == out else self.conv(f"{name}.nin_shortcut", x, out, 1))

    def attention(self, name: str, x: Tensor) -> Tensor:
        h = self.norm(f"{name}.norm", x)
        q, k, v = (self.conv(f"{name}.{part}", h, x.shape[1], 1).flatten(2) for part in "qkv")
        share = (q.transpose(1, 2) @ k / x.shape[1] ** 0.5).softmax(-1)
        return x + self.conv(f"{name}.proj_out", (v @ share.transpose(1, 2)).reshape(x.shape), x.shape[1], 1)

    def middle(self, name: str, x: Tensor) -> Tensor:
        parts = ("0", "1", "2") if self.is_llamagen else ("block_1", "attn_1", "block_2")
        x = self.block(f"{name}.mid.{parts[0]}", x, x.shape[1])
        x = self.attention(f"{name}.mid.{parts[1]}", x)
        return self.block(f"{name}.mid.{parts[2]}", x, x.shape[1])

    def level(self, side: str, index: int) -> tuple[str, str]:
        """Names of a resolution (0 the highest) and of its list of blocks."""
        if self.is_llamagen:
            place = index if side == "encoder" else 1 - index
            return f"{side}.conv_blocks.{place}", "res"
        return f"{side}.{'down' if side == 'encoder' else 'up'}.{index}", "block"

    def encode(self, x: Tensor) -> Tensor:
        h = self.conv("encoder.conv_in", x, WIDTHS[0])
        for index, width in enumerate(WIDTHS):
            name, blocks = self.level("encoder", index)
            h = self.block(f"{name}.{blocks}.0", h, width)
            h = self.attention(f"{name}.attn.0", h) if index == 1 else h
            h = self.conv(f"{name}.downsample.conv", h, width, stride=2) if index == 0 else h
        h = self.middle("encoder", h)
        h = self.conv("encoder.conv_out", F.silu(self.norm("encoder.norm_out", h)), 8)
        h = self.conv("quant_conv", h, self.dim, 1).permute(0, 2, 3, 1)
        codebook = self.codebook
        if self.is_llamagen:
            h, codebook = F.normalize(h, dim=-1), F.normalize(codebook, dim=-1)
        return (h[..., None, :] - codebook).square().sum(-1).argmin(-1)

    def decode(self, codes: Tensor) -> Tensor:
        codebook = F.normalize(self.codebook, dim=-1) if self.is_llamagen else self.codebook
        h = self.conv("post_quant_conv", codebook[codes].permute(0, 3, 1, 2), 8, 1)
        h = self.middle("decoder", self.conv("decoder.conv_in", h, WIDTHS[1]))
        for index in (1, 0):
            name, blocks = self.level("decoder", index)
            for number in (0, 1):
                h = self.block(f"{name}.{blocks}.{number}", h, WIDTHS[index])
                h = self.attention(f"{name}.attn.{number}", h) if index == 1 else h
            if index == 1:
                h = F.interpolate(h, scale_factor=2.0, mode="nearest")
                h = self.conv(f"{name}.upsample.conv", h, WIDTHS[index])
        return self.conv("decoder.conv_out", F.silu(self.norm("decoder.norm_out", h)), 3)
