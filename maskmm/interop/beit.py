"""BEiT (Bao et al., 2022) as transformers publishes it."""

from __future__ import annotations

from collections.abc import Sequence

from maskmm.interop.fields import Fields
from maskmm.interop.public_model import PublicModel
from maskmm.interop.rules import Rule, linear, renamed, reshaped, rows_from, same, stacked
from maskmm.interop.translation import Translation, margins
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

_BIAS = "relative_position_bias_table"
# Files keep the names of the first release, models in memory have newer ones.
_RENAMES = (
    (r"^beit\.layernorm\.", "inner_norm."),
    (r"^beit\.", ""),
    (r"^encoder\.layer\.", "layers."),
    (r"^encoder\.relative_position_bias\.", "shared_position_bias."),
    (r"\.attention\.attention\.query\.", ".attention.q_proj."),
    (r"\.attention\.attention\.key\.", ".attention.k_proj."),
    (r"\.attention\.attention\.value\.", ".attention.v_proj."),
    (r"\.attention\.attention\.relative_position_bias\.", ".relative_position_bias."),
    (r"\.attention\.output\.dense\.", ".attention.o_proj."),
    (r"\.intermediate\.dense\.", ".mlp.fc1."),
    (r"^(layers\.\d+)\.output\.dense\.", r"\1.mlp.fc2."),
)
_IGNORED = (
    r"pooler\..*",
    r"classifier\..*",
    r".*relative_position_index",
    r"(?:decode_head|auxiliary_head|fpn\d?)\..*",
)


def translate(public: PublicModel) -> Translation:
    """Our configuration and weights; without a masked-image head images are inputs alone.

    Raises:
        ValueError: a field that the family cannot express.
    """
    fields = public.fields
    weights = renamed(public.weights, _RENAMES)
    has_head = "lm_head.weight" in weights
    fields.tell_missing_head(has_head)
    if not has_head:
        weights = renamed(weights, ((r"^inner_norm\.", "layernorm."),))
    elif "inner_norm.weight" in weights:
        raise ValueError(
            f"{fields.source} has use_mean_pooling=False and a masked-image head: two norms, one after the other, "
            "which a TransformerConfig cannot express"
        )
    image_size, patch = _pair(fields.get("image_size", 224)), fields.get("patch_size", 16)
    if isinstance(patch, Sequence):
        fields.refuse_other("patch_size", [patch[0], patch[0]], (patch[0], patch[0]))
        patch = patch[0]
    if image_size[0] != image_size[1]:
        # Transformers stretches its tables there as if the two axes were exchanged.
        for name in (
            "absolute_position_embeddings",
            "relative_position_bias",
            "shared_relative_position_bias",
        ):
            if fields.get(f"use_{name}", False):
                raise ValueError(
                    f"{fields.source} has image_size={image_size} and use_{name}=True; expected square images, as "
                    "transformers does not place the patches of others"
                )
    config = _config(fields, image_size, patch, has_head, "layernorm.weight" in weights)
    codebook_size = fields.get("vocab_size", 8192) if has_head else 0
    channels = fields.get("num_channels", 3)
    vocabulary, tokenizer = image_vocabulary(image_size, patch, channels, codebook_size, public.preprocessing)
    mask = "embeddings.mask_token" if "embeddings.mask_token" in weights else None
    rules = _rules(config, vocabulary, channels, patch, mask)
    return Translation(config, vocabulary, {IMAGE: tokenizer}, tuple(rules), weights, _IGNORED, fields.source)


def _pair(size: int | Sequence[int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (size[0], size[1])


def _config(
    fields: Fields, image_size: tuple[int, int], patch: int, has_head: bool, has_norm: bool
) -> TransformerConfig:
    each, shared = (fields.get(f"use_{k}relative_position_bias", False) for k in ("", "shared_"))
    if each and shared:
        fields.refuse_other("use_shared_relative_position_bias", False)
    fields.tell_attention_dropout("attention_probs_dropout_prob")
    dropout, scale = fields.get("hidden_dropout_prob", 0.0), fields.get("layer_scale_init_value", 0.1)
    return TransformerConfig(
        width=fields.need("hidden_size"),
        depth=fields.need("num_hidden_layers"),
        attention=AttentionConfig(fields.need("num_attention_heads"), qkv_bias="qv", has_out_bias=True),
        ffn=FeedForwardConfig(
            fields.need("intermediate_size"), fields.activation("hidden_act", "gelu"), has_bias=True
        ),
        norm=NormConfig("layer", eps=fields.get("layer_norm_eps", 1e-12), has_bias=True, has_final=has_norm),
        positions=image_positions(
            fields.get("use_absolute_position_embeddings", False),
            "each" if each else "all" if shared else None,
            [size // patch for size in image_size],
        ),
        residual=ResidualConfig(
            layer_scale=scale if scale > 0 else None,
            drop_path=fields.get("drop_path_rate", 0.1),
            dropout=dropout,
        ),
        embedding=EmbeddingConfig(
            has_modality=False, num_repeats=0, dropout=dropout, has_codes_beside_inputs=False
        ),
        head=HeadConfig(is_tied=False) if has_head else HeadConfig(has_bias=False),
        init_std=fields.get("initializer_range", 0.02),
        input_widths={IMAGE: fields.get("num_channels", 3) * patch**2},
    )


def _rules(
    config: TransformerConfig, vocabulary: Vocabulary, channels: int, patch: int, mask: str | None
) -> list[Rule]:
    projection = "embeddings.patch_embeddings.projection"
    rules = [
        special_rows(vocabulary, "embeddings.cls_token", mask),
        reshaped(
            "embedding.inputs.image.weight", f"{projection}.weight",
            (config.width, -1), (config.width, channels, patch, patch),
        ),
        same("embedding.inputs.image.bias", f"{projection}.bias"),
    ]  # fmt: skip
    if config.positions.learned is not None:
        shapes = (-1, config.width), (1, -1, config.width)
        rules.append(reshaped("embedding.positions.weight", "embeddings.position_embeddings", *shapes))
    if config.positions.bias is not None and config.positions.is_bias_shared:
        rules.append(same("biases.0.table.weight", f"shared_position_bias.{_BIAS}"))
    for layer in range(config.depth):
        rules += _block_rules(config, layer)
    rules += linear("norm", "layernorm") if config.norm.has_final else []
    if not config.head.is_tied:
        around = margins(vocabulary, IMAGE)
        rules += [
            rows_from("head_weight", "lm_head.weight", around),
            rows_from("head_bias", "lm_head.bias", around),
        ]
    return rules


def _block_rules(config: TransformerConfig, layer: int) -> list[Rule]:
    ours, theirs = f"blocks.{layer}", f"layers.{layer}"
    qkv = [f"{theirs}.attention.{part}_proj.weight" for part in "qkv"]
    rules = [
        stacked(f"{ours}.attention.qkv.weight", qkv, [config.width] * 3),
        same(f"{ours}.attention.qkv.q_bias", f"{theirs}.attention.q_proj.bias"),
        same(f"{ours}.attention.qkv.v_bias", f"{theirs}.attention.v_proj.bias"),
        *linear(f"{ours}.attention.out", f"{theirs}.attention.o_proj"),
        *linear(f"{ours}.attention_norm", f"{theirs}.layernorm_before"),
        *linear(f"{ours}.ffn_norm", f"{theirs}.layernorm_after"),
        *linear(f"{ours}.ffn.up", f"{theirs}.mlp.fc1"),
        *linear(f"{ours}.ffn.down", f"{theirs}.mlp.fc2"),
    ]
    if config.residual.layer_scale is not None:
        rules.append(same(f"{ours}.attention_residual.scale", f"{theirs}.lambda_1"))
        rules.append(same(f"{ours}.ffn_residual.scale", f"{theirs}.lambda_2"))
    if not config.positions.is_bias_shared:
        rules.append(same(f"biases.{layer}.table.weight", f"{theirs}.relative_position_bias.{_BIAS}"))
    return rules
