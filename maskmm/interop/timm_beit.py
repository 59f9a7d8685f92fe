"""BEiT and BEiT v2 as timm publishes them; their shape is read from the weights, as timm's files do not say it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from maskmm.interop.fields import Fields
from maskmm.interop.public_model import PublicModel
from maskmm.interop.rules import Rule, linear, reshaped, same
from maskmm.interop.translation import Translation
from maskmm.interop.vision import IMAGE, image_positions, image_vocabulary, special_rows
from maskmm.model import TransformerConfig
from maskmm.nn.config import (
    AttentionConfig,
    EmbeddingConfig,
    FeedForwardConfig,
    HeadConfig,
    NormConfig,
    ResidualConfig,
)
from maskmm.vocabulary import Vocabulary

ARCHITECTURES = ("beit_", "beitv2_")
"""How timm's names of the models begin."""
_EPS = 1e-6
_IGNORED = (r"head\..*", r"fc_norm\..*", r".*relative_position_index", r"mask_token")
_SHARED, _OWN = "rel_pos_bias.relative_position_bias_table", "attn.relative_position_bias_table"


def shape_of(model: nn.Module) -> dict[str, Any]:
    """What a model in memory says about its shape, and its weights do not.

    Raises:
        ValueError: another architecture.
    """
    beit: Any = getattr(model, "_orig_mod", model)
    if "Beit" not in [cls.__name__ for cls in type(beit).__mro__]:
        raise ValueError(f"{type(beit).__name__}, expected a BEiT of timm (timm.models.beit.Beit)")
    block = beit.blocks[0]
    return {
        "num_heads": block.attn.num_heads,
        "grid_size": list(beit.patch_embed.grid_size),
        "norm_eps": block.norm1.eps,
    }


def translate(public: PublicModel) -> Translation:
    """Our configuration and weights; the classifier is left out.

    Raises:
        ValueError: weights that are no BEiT's, or a shape that the family cannot express.
    """
    weights, source = public.weights, public.fields.source
    needed = ("patch_embed.proj.weight", "cls_token", "blocks.0.attn.qkv.weight", "blocks.0.mlp.fc1.weight")
    missing = [name for name in needed if name not in weights]
    if missing:
        raise ValueError(f"{source} has no weights called {missing}; expected a BEiT of timm")
    width, channels, patch, _ = weights["patch_embed.proj.weight"].shape
    grid, num_heads = _grid_and_heads(weights, public.fields)
    config = _config(public, grid, num_heads)
    vocabulary, tokenizer = image_vocabulary(
        [size * patch for size in grid], patch, channels, 0, public.preprocessing
    )
    rules = _rules(config, vocabulary, (width, channels, patch, patch))
    return Translation(config, vocabulary, {IMAGE: tokenizer}, tuple(rules), weights, _IGNORED, source)


def _grid_and_heads(weights: Mapping[str, Tensor], fields: Fields) -> tuple[tuple[int, int], int]:
    """Patches along each axis and heads: as a model in memory says, else from the weights, for square images."""
    num_heads, told = fields.get("num_heads", None), fields.get("grid_size", None)
    if told is not None:
        return (told[0], told[1]), num_heads
    table = weights.get(_SHARED, weights.get(f"blocks.0.{_OWN}"))
    if table is not None:
        side = (math.isqrt(table.shape[0] - 3) + 1) // 2
        if (2 * side - 1) ** 2 + 3 == table.shape[0]:
            return (side, side), table.shape[1]
    elif "pos_embed" in weights and num_heads is not None:
        side = math.isqrt(weights["pos_embed"].shape[1] - 1)
        if side**2 + 1 == weights["pos_embed"].shape[1]:
            return (side, side), num_heads
    raise ValueError(
        f"{fields.source} has no square table of relative positions, and no absolute ones with a known number of "
        "heads; expected a BEiT of timm for square images"
    )


def _config(public: PublicModel, grid: tuple[int, int], num_heads: int) -> TransformerConfig:
    weights = public.weights
    width, channels, patch, _ = weights["patch_embed.proj.weight"].shape
    bias = "all" if _SHARED in weights else "each" if f"blocks.0.{_OWN}" in weights else None
    return TransformerConfig(
        width=width,
        depth=1 + max(int(name.split(".")[1]) for name in weights if name.startswith("blocks.")),
        attention=AttentionConfig(
            num_heads,
            head_width=weights["blocks.0.attn.qkv.weight"].shape[0] // (3 * num_heads),
            qkv_bias="qv" if "blocks.0.attn.q_bias" in weights else "none",
            has_out_bias=True,
        ),
        ffn=FeedForwardConfig(weights["blocks.0.mlp.fc1.weight"].shape[0], "gelu", has_bias=True),
        norm=NormConfig(
            "layer",
            eps=public.fields.get("norm_eps", _EPS),
            has_bias=True,
            has_final="norm.weight" in weights,
        ),
        positions=image_positions("pos_embed" in weights, bias, grid),
        residual=ResidualConfig(layer_scale=0.1 if "blocks.0.gamma_1" in weights else None),
        embedding=EmbeddingConfig(has_modality=False, num_repeats=0, has_codes_beside_inputs=False),
        head=HeadConfig(has_bias=False),
        input_widths={IMAGE: channels * patch**2},
    )


def _rules(config: TransformerConfig, vocabulary: Vocabulary, kernel: tuple[int, ...]) -> list[Rule]:
    rules = [
        special_rows(vocabulary, "cls_token", None),
        reshaped("embedding.inputs.image.weight", "patch_embed.proj.weight", (kernel[0], -1), kernel),
        same("embedding.inputs.image.bias", "patch_embed.proj.bias"),
    ]
    if config.positions.learned is not None:
        shapes = (-1, config.width), (1, -1, config.width)
        rules.append(reshaped("embedding.positions.weight", "pos_embed", *shapes))
    if config.positions.bias is not None and config.positions.is_bias_shared:
        rules.append(same("biases.0.table.weight", _SHARED))
    for layer in range(config.depth):
        name = f"blocks.{layer}"
        rules.append(same(f"{name}.attention.qkv.weight", f"{name}.attn.qkv.weight"))
        if config.attention.qkv_bias == "qv":
            rules += [same(f"{name}.attention.qkv.{x}_bias", f"{name}.attn.{x}_bias") for x in "qv"]
        rules += linear(f"{name}.attention.out", f"{name}.attn.proj")
        rules += linear(f"{name}.attention_norm", f"{name}.norm1")
        rules += linear(f"{name}.ffn_norm", f"{name}.norm2")
        rules += linear(f"{name}.ffn.up", f"{name}.mlp.fc1")
        rules += linear(f"{name}.ffn.down", f"{name}.mlp.fc2")
        if config.residual.layer_scale is not None:
            rules.append(same(f"{name}.attention_residual.scale", f"{name}.gamma_1"))
            rules.append(same(f"{name}.ffn_residual.scale", f"{name}.gamma_2"))
        if not config.positions.is_bias_shared:
            rules.append(same(f"biases.{layer}.table.weight", f"{name}.{_OWN}"))
    return rules + (linear("norm", "norm") if config.norm.has_final else [])
