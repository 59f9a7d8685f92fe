"""Weights that a new model starts from."""

from __future__ import annotations

import torch
from torch import nn

from maskmm.nn.conv_positions import ConvPositions
from maskmm.nn.transformer_config import TransformerConfig

_RESIDUAL = ("attention.out.weight", "ffn.down.weight")
_BRANCH_WEIGHTS = (*_RESIDUAL, "ffn.up.weight", "ffn.gate_up.weight")


def start_weights(model: nn.Module, config: TransformerConfig) -> None:
    """Truncated normals of `init_std` for matrices and tables, zero biases, in place.

    Residual outputs of pre-norm blocks are scaled down with depth, so that the stream keeps its variance. DeepNorm
    starts its blocks by Xavier, those of values, outputs and feed-forwards times (8 depth)^(-1/4) (Wang et al., 2022).
    """
    own = {id(p) for m in model.modules() if isinstance(m, ConvPositions) for p in m.parameters()}
    for name, parameter in model.named_parameters():
        if id(parameter) in own:
            continue
        if parameter.ndim >= 2:
            is_scaled = name.endswith(_RESIDUAL) and config.norm.placement == "pre"
            std, scale = config.init_std, (2 * config.depth) ** -0.5 if is_scaled else 1.0
            nn.init.trunc_normal_(parameter, std=std * scale, a=-3 * std, b=3 * std)
    for module in model.modules():
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)
    if config.norm.placement == "deepnorm":
        _start_deepnorm(model, config)


def _start_deepnorm(model: nn.Module, config: TransformerConfig) -> None:
    gain = (8 * config.depth) ** -0.25
    heads, kv_heads, head_width = config.attention.num_heads, config.attention.kv_heads, config.head_width
    for name, parameter in model.named_parameters():
        if name.endswith("attention.qkv.weight"):
            with torch.no_grad():
                queries, keys, values = parameter.split([n * head_width for n in (heads, kv_heads, kv_heads)])
                nn.init.xavier_normal_(queries)
                nn.init.xavier_normal_(keys)
                nn.init.xavier_normal_(values, gain=gain)
        elif name.endswith(_BRANCH_WEIGHTS):
            nn.init.xavier_normal_(parameter, gain=gain)
