"""The factorised transformers one frame, one place and one step at a time, in float64."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tests.reference.naive_attention import naive_attend
from tokenizers_vq.layers.space_time import SpaceTransformer, TimeTransformer


def naive_space(module: SpaceTransformer, x_TYXC: Tensor) -> Tensor:
    """Each frame alone, place by place of a double loop."""
    frames = []
    for frame_YXC in x_TYXC.double():
        rows = [
            place + module.rows_YC[y].double() + module.columns_XC[x].double()
            for y, line in enumerate(frame_YXC)
            for x, place in enumerate(line)
        ]
        h_NC = torch.stack(rows)
        *blocks, norm = module.blocks
        for block in blocks:
            heads = block.attn.num_heads
            h_NC = h_NC + _attention(block.attn, _norm(block.norm1, h_NC), heads, None)
            h_NC = h_NC + _mlp(block.mlp, _norm(block.norm2, h_NC))
        frames.append(_norm(norm, h_NC).reshape(frame_YXC.shape))
    return torch.stack(frames)


def naive_time(module: TimeTransformer, x_TYXC: Tensor, window: int) -> Tensor:
    """Each place alone, all its steps."""
    out = torch.zeros_like(x_TYXC, dtype=torch.float64)
    for y in range(x_TYXC.shape[1]):
        for x in range(x_TYXC.shape[2]):
            h_TC = x_TYXC[:, y, x].double()
            for block in module.blocks:
                heads = block.attn.num_heads
                slopes = [2.0 ** (-8.0 * (head + 1) / heads) for head in range(heads)]
                h_TC = h_TC + _attention(block.attn, _norm(block.norm1, h_TC), heads, slopes, window)
                h_TC = h_TC + _mlp(block.mlp, _norm(block.norm2, h_TC))
            out[:, y, x] = _norm(module.norm, h_TC)
    return out


def _attention(
    module: nn.Module, h_NC: Tensor, heads: int, slopes: list[float] | None, window: int = 0
) -> Tensor:
    """Over all rows, or causal in a window with a fall by distance where slopes are given."""
    count, width = h_NC.shape
    q, k, v = (part.reshape(count, heads, width // heads) for part in _linear(module.qkv, h_NC).chunk(3, -1))
    bias = None
    if slopes is not None:
        bias = torch.tensor([[[-s * (i - j) for j in range(count)] for i in range(count)] for s in slopes])
    may = (lambda i, j, a, b: True) if slopes is None else (lambda i, j, a, b: i - window < j <= i)
    y = naive_attend(q, k, v, [0, count], [0, count], may, bias)
    return _linear(module.proj, y.reshape(count, width))


def _linear(module: nn.Module, x: Tensor) -> Tensor:
    return x @ module.weight.double().T + module.bias.double()


def _norm(module: nn.Module, x: Tensor) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    scaled = centred / (centred.square().mean(-1, keepdim=True) + module.eps).sqrt()
    return scaled * module.weight.double() + module.bias.double()


def _mlp(module: nn.Module, x: Tensor) -> Tensor:
    return _linear(module.fc2, nn.functional.gelu(_linear(module.fc1, x)))
