"""Naive twin of NeoBERT, written from its description: pre-RMSNorm, rotary pairs, SwiGLU, no biases, an untied head.

One text at a time, one head at a time. Weights are named as published checkpoints name them.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def random_weights(config: dict, seed: int = 0) -> dict[str, Tensor]:
    """A checkpoint of random numbers."""
    generator = torch.Generator().manual_seed(seed)
    width, hidden = config["hidden_size"], ffn_width(config)

    def matrix(rows: int, columns: int) -> Tensor:
        return torch.randn(rows, columns, generator=generator) * columns**-0.5

    def gain() -> Tensor:
        return 1 + 0.3 * torch.randn(width, generator=generator)

    weights = {
        "model.encoder.weight": matrix(config["vocab_size"], width) * 3,
        "model.layer_norm.weight": gain(),
        "decoder.weight": matrix(config["vocab_size"], width),
        "decoder.bias": torch.randn(config["vocab_size"], generator=generator),
    }
    for layer in range(config["num_hidden_layers"]):
        name = f"model.transformer_encoder.{layer}"
        weights |= {
            f"{name}.qkv.weight": matrix(3 * width, width),
            f"{name}.wo.weight": matrix(width, width),
            f"{name}.ffn.w12.weight": matrix(2 * hidden, width),
            f"{name}.ffn.w3.weight": matrix(width, hidden),
            f"{name}.attention_norm.weight": gain(),
            f"{name}.ffn_norm.weight": gain(),
        }
    return weights


def ffn_width(config: dict) -> int:
    """Two thirds of the stated width, rounded up to a multiple of 8."""
    return 8 * math.ceil(int(2 * config["intermediate_size"] / 3) / 8)


def forward(config: dict, weights: dict[str, Tensor], ids: list[int]) -> tuple[list[Tensor], Tensor]:
    """Embedding and outputs of every layer (n, D), the last one normed; and logits (n, V)."""
    x = weights["model.encoder.weight"][ids]
    layers = [x]
    for layer in range(config["num_hidden_layers"]):
        name = f"model.transformer_encoder.{layer}"
        x = x + _attention(config, weights, name, _norm(x, weights[f"{name}.attention_norm.weight"], config))
        h = _norm(x, weights[f"{name}.ffn_norm.weight"], config)
        gate, up = (h @ weights[f"{name}.ffn.w12.weight"].T).split(ffn_width(config), dim=1)
        x = x + (gate * torch.sigmoid(gate) * up) @ weights[f"{name}.ffn.w3.weight"].T
        layers.append(x)
    layers[-1] = _norm(x, weights["model.layer_norm.weight"], config)
    return layers, layers[-1] @ weights["decoder.weight"].T + weights["decoder.bias"]


def _norm(x: Tensor, gain: Tensor, config: dict) -> Tensor:
    return x / (x.pow(2).mean(dim=1, keepdim=True) + config["norm_eps"]).sqrt() * gain


def _attention(config: dict, weights: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    heads = config["num_attention_heads"]
    size = config["hidden_size"] // heads
    qkv = x @ weights[f"{name}.qkv.weight"].T
    outputs = []
    for head in range(heads):
        # Each head's queries, keys and values lie side by side.
        q, k, v = qkv[:, head * 3 * size : (head + 1) * 3 * size].split(size, dim=1)
        scores = _turned(q) @ _turned(k).T / math.sqrt(size)
        outputs.append(scores.softmax(dim=1) @ v)
    return torch.cat(outputs, dim=1) @ weights[f"{name}.wo.weight"].T


def _turned(x: Tensor) -> Tensor:
    """Neighbouring channels turned by position times 10000^(-2 p / K)."""
    out = torch.empty_like(x)
    for position in range(x.shape[0]):
        for pair in range(x.shape[1] // 2):
            angle = position * 10000.0 ** (-2 * pair / x.shape[1])
            a, b = x[position, 2 * pair], x[position, 2 * pair + 1]
            out[position, 2 * pair] = a * math.cos(angle) - b * math.sin(angle)
            out[position, 2 * pair + 1] = a * math.sin(angle) + b * math.cos(angle)
    return out
