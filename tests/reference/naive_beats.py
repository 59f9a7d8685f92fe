"""Naive twin of BEATs' encoder, written from its description; one clip at a time, one head at a time.

Patches of a filter bank -> linear, norm, linear -> convolutional positions -> norm -> post-norm blocks (DeepNorm), or
pre-norm blocks and a norm; with a bucketed relative bias, shared by all layers and gated by each query. Weights are
named as published checkpoints are.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def random_weights(cfg: dict, seed: int = 0) -> dict[str, Tensor]:
    """A checkpoint of random numbers."""
    generator = torch.Generator().manual_seed(seed)
    width, hidden, heads = (
        cfg["encoder_embed_dim"],
        cfg["encoder_ffn_embed_dim"],
        cfg["encoder_attention_heads"],
    )
    embed, patch, kernel = cfg["embed_dim"], cfg["input_patch_size"], cfg["conv_pos"]
    per_group = width // cfg["conv_pos_groups"]

    def noise(*shape: int, std: float = 1.0) -> Tensor:
        return torch.randn(*shape, generator=generator) * std

    def layer(rows: int, columns: int) -> dict[str, Tensor]:
        return {"weight": noise(rows, columns, std=columns**-0.5), "bias": noise(rows, std=0.2)}

    def norm(size: int) -> dict[str, Tensor]:
        return {"weight": 1 + noise(size, std=0.2), "bias": noise(size, std=0.2)}

    parts = {
        "layer_norm": norm(embed),
        "encoder.layer_norm": norm(width),
        **({"post_extract_proj": layer(width, embed)} if embed != width else {}),
    }
    weights = {
        "patch_embedding.weight": noise(embed, 1, patch, patch, std=1 / patch),
        "encoder.pos_conv.0.weight_g": 0.5 + torch.rand(1, 1, kernel, generator=generator),
        "encoder.pos_conv.0.weight_v": noise(width, per_group, kernel),
        "encoder.pos_conv.0.bias": noise(width, std=0.2),
    }
    bias = noise(cfg["num_buckets"], heads)
    for index in range(cfg["encoder_layers"]):
        name = f"encoder.layers.{index}"
        for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
            parts[f"{name}.self_attn.{part}"] = layer(width, width)
        if cfg["gru_rel_pos"]:
            parts[f"{name}.self_attn.grep_linear"] = layer(8, width // heads)
            weights[f"{name}.self_attn.grep_a"] = 1 + noise(1, heads, 1, 1, std=0.3)
        parts[f"{name}.fc1"], parts[f"{name}.fc2"] = layer(hidden, width), layer(width, hidden)
        parts[f"{name}.self_attn_layer_norm"], parts[f"{name}.final_layer_norm"] = norm(width), norm(width)
        weights[f"{name}.self_attn.relative_attention_bias.weight"] = bias
    return weights | {f"{name}.{kind}": value for name, part in parts.items() for kind, value in part.items()}


def forward(cfg: dict, weights: dict[str, Tensor], bank: Tensor) -> list[Tensor]:
    """Filter bank (T, F), normalised -> embedding and output of every layer, each (n, D)."""
    patch = cfg["input_patch_size"]
    rows = []
    for t in range(bank.shape[0] // patch):  # time goes slowest
        for f in range(bank.shape[1] // patch):
            square = bank[t * patch : (t + 1) * patch, f * patch : (f + 1) * patch]
            rows.append((weights["patch_embedding.weight"][:, 0] * square).sum(dim=(1, 2)))
    x = _norm(torch.stack(rows), weights, "layer_norm")
    if "post_extract_proj.weight" in weights:
        x = _linear(x, weights, "post_extract_proj")
    x = x + _positions(cfg, weights, x)
    if cfg["layer_norm_first"]:
        return _pre_norm_layers(cfg, weights, x)
    x = _norm(x, weights, "encoder.layer_norm")
    layers = [x]
    alpha = (2 * cfg["encoder_layers"]) ** 0.25 if cfg["deep_norm"] else 1.0
    for index in range(cfg["encoder_layers"]):
        name = f"encoder.layers.{index}"
        x = _norm(alpha * x + _attention(cfg, weights, name, x), weights, f"{name}.self_attn_layer_norm")
        x = _norm(alpha * x + _feed_forward(weights, name, x), weights, f"{name}.final_layer_norm")
        layers.append(x)
    return layers


def _pre_norm_layers(cfg: dict, weights: dict[str, Tensor], x: Tensor) -> list[Tensor]:
    """Norms before the branches, and one after the last block."""
    layers = [x]
    for index in range(cfg["encoder_layers"]):
        name = f"encoder.layers.{index}"
        x = x + _attention(cfg, weights, name, _norm(x, weights, f"{name}.self_attn_layer_norm"))
        x = x + _feed_forward(weights, name, _norm(x, weights, f"{name}.final_layer_norm"))
        layers.append(x)
    return [*layers[:-1], _norm(x, weights, "encoder.layer_norm")]


def _feed_forward(weights: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    return _linear(F.gelu(_linear(x, weights, f"{name}.fc1")), weights, f"{name}.fc2")


def _linear(x: Tensor, weights: dict[str, Tensor], name: str) -> Tensor:
    return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


def _norm(x: Tensor, weights: dict[str, Tensor], name: str) -> Tensor:
    centred = x - x.mean(dim=1, keepdim=True)
    scaled = centred / (centred.pow(2).mean(dim=1, keepdim=True) + 1e-5).sqrt()
    return scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def _positions(cfg: dict, weights: dict[str, Tensor], x: Tensor) -> Tensor:
    """Each row from the rows around it, kernel / 2 before and kernel / 2 - 1 after where the kernel is even."""
    direction, gain = weights["encoder.pos_conv.0.weight_v"], weights["encoder.pos_conv.0.weight_g"]
    taps = direction / direction.pow(2).sum(dim=(0, 1), keepdim=True).sqrt() * gain
    kernel, groups = cfg["conv_pos"], cfg["conv_pos_groups"]
    size = x.shape[1] // groups
    out = torch.zeros_like(x)
    for row in range(x.shape[0]):
        for tap in range(kernel):
            source = row + tap - kernel // 2
            if 0 <= source < x.shape[0]:
                for group in range(groups):
                    part = slice(group * size, (group + 1) * size)
                    out[row, part] += taps[part, :, tap] @ x[source, part]
    return F.gelu(out + weights["encoder.pos_conv.0.bias"])


def _bucket(cfg: dict, distance: int) -> int:
    """Half the buckets for keys after the query; a quarter hold one distance each, the rest grow to max_distance."""
    half = cfg["num_buckets"] // 2
    exact = half // 2
    size = abs(distance)
    if size >= exact:
        grown = math.log(size / exact) / math.log(cfg["max_distance"] / exact) * (half - exact)
        size = min(exact + int(grown), half - 1)
    return size + (half if distance > 0 else 0)


def _attention(cfg: dict, weights: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    heads, name = cfg["encoder_attention_heads"], f"{name}.self_attn"
    size, count = x.shape[1] // heads, x.shape[0]
    q, k, v = (_linear(x, weights, f"{name}.{part}_proj") for part in "qkv")
    table = weights[f"{name}.relative_attention_bias.weight"]
    buckets = torch.tensor([[_bucket(cfg, j - i) for j in range(count)] for i in range(count)])
    outputs = []
    for head in range(heads):
        part = slice(head * size, (head + 1) * size)
        gate = torch.ones(count)
        if cfg["gru_rel_pos"]:
            eight = _linear(q[:, part], weights, f"{name}.grep_linear")
            a, b = torch.sigmoid(eight[:, :4].sum(dim=1)), torch.sigmoid(eight[:, 4:].sum(dim=1))
            gate = a * (b * weights[f"{name}.grep_a"][0, head, 0, 0] - 1) + 2
        scores = q[:, part] @ k[:, part].T / math.sqrt(size) + gate[:, None] * table[buckets, head]
        outputs.append(scores.softmax(dim=1) @ v[:, part])
    return _linear(torch.cat(outputs, dim=1), weights, f"{name}.out_proj")
