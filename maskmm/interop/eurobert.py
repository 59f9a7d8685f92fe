"""EuroBERT (Boizard et al., 2025) as transformers publishes it: a bidirectional Llama."""

from __future__ import annotations

from maskmm.interop.fields import Fields
from maskmm.interop.public_model import PublicModel
from maskmm.interop.rules import Rule, linear, neighbours_paired, renamed, rows_from, stacked
from maskmm.interop.translation import TEXT, Translation, margins, translate_text
from maskmm.model import TransformerConfig
from maskmm.nn.config import (
    AttentionConfig,
    EmbeddingConfig,
    FeedForwardConfig,
    HeadConfig,
    NormConfig,
    PositionConfig,
)
from maskmm.vocabulary import Vocabulary

_RENAMES = ((r"^model\.", ""),)


def translate(public: PublicModel) -> Translation:
    """Our configuration and weights; a file without the masked-LM head gives a model with an untrained tied one.

    Raises:
        ValueError: a field that the family cannot express.
    """
    fields = public.fields
    weights = renamed(public.weights, _RENAMES)
    is_tied = fields.get("tie_word_embeddings", False)
    # A tied head leaves at most its bias in the file; without one, an untrained tied head is that head.
    has_head = any(name.startswith("lm_head.") for name in weights)
    fields.tell_missing_head(has_head or is_tied)
    config = _config(fields, has_head, is_tied)
    ignored = (r"classifier\..*", r"dense\..*", *((r"lm_head\.weight",) if is_tied else ()))
    return translate_text(public, config, fields.need("vocab_size"), _rules, weights, ignored)


def _config(fields: Fields, has_head: bool, is_tied: bool) -> TransformerConfig:
    has_bias, has_mlp_bias = fields.get("attention_bias", False), fields.get("mlp_bias", False)
    fields.tell_attention_dropout("attention_dropout")
    return TransformerConfig(
        width=fields.need("hidden_size"),
        depth=fields.need("num_hidden_layers"),
        attention=AttentionConfig(
            fields.need("num_attention_heads"),
            num_kv_heads=fields.get("num_key_value_heads", None),
            head_width=fields.get("head_dim", None),
            qkv_bias="all" if has_bias else "none",
            has_out_bias=has_bias,
        ),
        ffn=FeedForwardConfig(
            fields.need("intermediate_size"), fields.gated_activation("hidden_act", "silu"), has_mlp_bias
        ),
        norm=NormConfig("rms", eps=fields.get("rms_norm_eps", 1e-5)),
        positions=PositionConfig(source="sample", rotary=_base(fields), learned=None),
        embedding=EmbeddingConfig(has_modality=False, num_repeats=0),
        head=HeadConfig(is_tied=is_tied, has_bias=has_mlp_bias) if has_head else HeadConfig(has_bias=False),
        init_std=fields.get("initializer_range", 0.02),
        max_length=fields.get("max_position_embeddings", 8192),
    )


def _base(fields: Fields) -> float:
    """Base of the rotary wavelengths, as old and new files name it."""
    fields.refuse_scaled_rotary()
    told = fields.get("rope_parameters", {})
    return float(told.get("rope_theta", fields.get("rope_theta", 10_000.0)))


def _rules(config: TransformerConfig, vocabulary: Vocabulary) -> list[Rule]:
    around, options = margins(vocabulary, TEXT), config.attention
    sizes = [heads * config.head_width for heads in (options.num_heads, options.kv_heads, options.kv_heads)]
    kinds = ("weight", "bias") if options.has_out_bias else ("weight",)
    rules = [
        rows_from("embedding.codes.weight", "embed_tokens.weight", around),
        *linear("norm", "norm", False),
    ]
    for layer in range(config.depth):
        ours, theirs = f"blocks.{layer}", f"layers.{layer}"
        for kind in kinds:
            parts = [f"{theirs}.self_attn.{part}_proj.{kind}" for part in "qkv"]
            projection = stacked(f"{ours}.attention.qkv.{kind}", parts, sizes)
            rules.append(
                neighbours_paired(projection, options.num_heads + options.kv_heads, config.head_width)
            )
        rules += linear(f"{ours}.attention.out", f"{theirs}.self_attn.o_proj", options.has_out_bias)
        rules += linear(f"{ours}.attention_norm", f"{theirs}.input_layernorm", False)
        rules += linear(f"{ours}.ffn_norm", f"{theirs}.post_attention_layernorm", False)
        for kind in ("weight", "bias") if config.ffn.has_bias else ("weight",):
            gates = [f"{theirs}.mlp.{part}_proj.{kind}" for part in ("gate", "up")]
            rules.append(stacked(f"{ours}.ffn.gate_up.{kind}", gates, [config.ffn.width] * 2))
        rules += linear(f"{ours}.ffn.down", f"{theirs}.mlp.down_proj", config.ffn.has_bias)
    rules += [] if config.head.is_tied else [rows_from("head_weight", "lm_head.weight", around)]
    rules += [rows_from("head_bias", "lm_head.bias", around)] if config.head.has_bias else []
    return rules
