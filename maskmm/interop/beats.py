"""BEATs (Chen et al., 2023) checkpoints as their authors publish them; no public package holds their code."""

from __future__ import annotations

from typing import Any

from maskmm.interop.fields import Fields
from maskmm.interop.public_model import PublicModel
from maskmm.interop.rules import Rule, absent, linear, renamed, reshaped, same, stacked
from maskmm.interop.translation import Translation
from maskmm.model import TransformerConfig
from maskmm.nn.config import (
    AttentionConfig,
    EmbeddingConfig,
    FeedForwardConfig,
    HeadConfig,
    NormConfig,
    Placement,
    PositionConfig,
    ResidualConfig,
)
from maskmm.vocabulary import Vocabulary
from tokenizers_vq.contract import Modality, Tokenizer
from tokenizers_vq.contract.tokenizer import find_class

AUDIO = "audio"
_PATCHES_CLASS = "tokenizers_vq.audio.fbank_patches.FbankPatches"
_NUM_BANDS = 128
# Weight norm has new names in new versions of torch.
_RENAMES = (
    (r"pos_conv\.0\.weight_g$", "pos_conv.0.parametrizations.weight.original0"),
    (r"pos_conv\.0\.weight_v$", "pos_conv.0.parametrizations.weight.original1"),
)
# Every layer's file entry holds the one table that all share.
_SHARED = r"encoder\.layers\.[1-9]\d*\.self_attn\.relative_attention_bias\.weight"
_IGNORED = (_SHARED, r"predictor\..*", r"mask_emb(?:edding)?", r"final_proj\..*", r"label_embs.*")


def translate(public: PublicModel) -> Translation:
    """Our configuration and weights; the classifier of fine-tuned checkpoints is left out.

    Raises:
        ValueError: a field that the family cannot express.
    """
    fields = public.fields
    config = _config(fields)
    cls: Any = find_class(_PATCHES_CLASS, Tokenizer)
    tokenizer: Tokenizer = cls(_NUM_BANDS, fields.need("input_patch_size"))
    vocabulary = Vocabulary([Modality(AUDIO, tokenizer.spec)], has_cls=False)
    table = absent("embedding.codes.weight", vocabulary.size, config.width)
    rules = (table, *_rules(config, fields))
    weights = renamed(public.weights, _RENAMES)
    return Translation(config, vocabulary, {AUDIO: tokenizer}, rules, weights, _IGNORED, fields.source)


def _config(fields: Fields) -> TransformerConfig:
    width, embed = fields.need("encoder_embed_dim"), fields.get("embed_dim", 512)
    if embed == width:
        raise ValueError(
            f"{fields.source} has embed_dim={embed} and encoder_embed_dim={width}: patches without the projection "
            "between them cannot be expressed; expected two widths"
        )
    fields.refuse_other("conv_bias", False)
    fields.refuse_other("activation_fn", "gelu")
    fields.refuse_other("relative_position_embedding", True)
    fields.need("relative_position_embedding")
    fields.tell_attention_dropout("attention_dropout")
    is_pre = fields.get("layer_norm_first", False)
    placement: Placement = "pre" if is_pre else "deepnorm" if fields.get("deep_norm", False) else "post"
    dropout = fields.get("dropout", 0.1)
    return TransformerConfig(
        width=width,
        depth=fields.need("encoder_layers"),
        attention=AttentionConfig(fields.need("encoder_attention_heads"), qkv_bias="all", has_out_bias=True),
        ffn=FeedForwardConfig(fields.need("encoder_ffn_embed_dim"), "gelu", has_bias=True),
        norm=NormConfig(
            "layer", placement, eps=1e-5, has_bias=True, has_final=is_pre, has_embedding_norm=not is_pre
        ),
        positions=PositionConfig(
            source="sample",
            rotary=None,
            learned=None,
            bias="gated_bucketed" if fields.get("gru_rel_pos", False) else "bucketed",
            num_buckets=fields.get("num_buckets", 320),
            max_distance=fields.get("max_distance", 1280),
            conv_kernel=fields.get("conv_pos", 128),
            conv_groups=fields.get("conv_pos_groups", 16),
        ),
        residual=ResidualConfig(dropout=dropout),
        embedding=EmbeddingConfig(
            has_modality=False,
            num_repeats=0,
            dropout=dropout,
            input_hidden=embed,
            has_codes_beside_inputs=False,
        ),
        head=HeadConfig(has_bias=False),
        input_widths={AUDIO: fields.need("input_patch_size") ** 2},
    )


def _rules(config: TransformerConfig, fields: Fields) -> list[Rule]:
    embed, patch = fields.get("embed_dim", 512), fields.need("input_patch_size")
    conv = "pos_conv.0.parametrizations.weight.original"
    rules = [
        reshaped("embedding.inputs.audio.0.weight", "patch_embedding.weight", (embed, -1), (embed, 1, patch, patch)),
        *linear("embedding.inputs.audio.1", "layer_norm"),
        *linear("embedding.inputs.audio.2", "post_extract_proj"),
        *(same(f"conv_positions.conv.parametrizations.weight.original{i}", f"encoder.{conv}{i}") for i in "01"),
        same("conv_positions.conv.bias", "encoder.pos_conv.0.bias"),
        *linear("norm" if config.norm.has_final else "embedding_norm", "encoder.layer_norm"),
        same("biases.0.table.weight", "encoder.layers.0.self_attn.relative_attention_bias.weight"),
    ]  # fmt: skip
    for layer in range(config.depth):
        ours, theirs = f"blocks.{layer}", f"encoder.layers.{layer}"
        for kind in ("weight", "bias"):
            parts = [f"{theirs}.self_attn.{part}_proj.{kind}" for part in "qkv"]
            rules.append(stacked(f"{ours}.attention.qkv.{kind}", parts, [config.width] * 3))
        rules += linear(f"{ours}.attention.out", f"{theirs}.self_attn.out_proj")
        rules += linear(f"{ours}.attention_norm", f"{theirs}.self_attn_layer_norm")
        rules += linear(f"{ours}.ffn.up", f"{theirs}.fc1")
        rules += linear(f"{ours}.ffn.down", f"{theirs}.fc2")
        rules += linear(f"{ours}.ffn_norm", f"{theirs}.final_layer_norm")
        if config.positions.bias == "gated_bucketed":
            heads, gate = config.attention.num_heads, f"{ours}.attention.gate"
            rules += linear(f"{gate}.linear", f"{theirs}.self_attn.grep_linear")
            rules.append(reshaped(f"{gate}.scale", f"{theirs}.self_attn.grep_a", (heads,), (1, heads, 1, 1)))
    return rules
