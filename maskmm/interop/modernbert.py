"""ModernBERT (Warner et al., 2024) as transformers publishes it, to and from a TransformerConfig."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from maskmm.interop.fields import Fields
from maskmm.interop.public_model import PublicModel
from maskmm.interop.rules import Rule, linear, neighbours_paired, renamed, rows_from
from maskmm.interop.translation import TEXT, Translation, margins, translate_text
from maskmm.model import TransformerConfig
from maskmm.nn.config import (
    AttentionConfig,
    EmbeddingConfig,
    FeedForwardConfig,
    HeadConfig,
    NormConfig,
    PositionConfig,
    ResidualConfig,
)
from maskmm.vocabulary import Vocabulary

_RENAMES = ((r"^model\.", ""),)
_GLOBAL, _LOCAL = "full_attention", "sliding_attention"


def translate(public: PublicModel) -> Translation:
    """Our configuration and weights; a file without the masked-LM head gives a model with an untrained tied one.

    Raises:
        ValueError: a field that the family cannot express.
    """
    fields = public.fields
    weights = renamed(public.weights, _RENAMES)
    has_head = "head.dense.weight" in weights and "classifier.weight" not in weights
    fields.tell_missing_head(has_head)
    config = _config(fields, has_head)
    # A classifier has a head of its own under the same names.
    ignored = [r"classifier\..*", r"decoder\.weight" if config.head.is_tied else r"(?!)"]
    ignored += [r"head\..*"] if config.head.kind == "linear" else []
    return translate_text(public, config, fields.need("vocab_size"), make_rules, weights, ignored)


def _config(fields: Fields, has_head: bool) -> TransformerConfig:
    depth, longest = fields.need("num_hidden_layers"), fields.get("max_position_embeddings", 8192)
    window, every = _windows(fields, depth, longest)
    fields.refuse_scaled_rotary()
    fields.tell_attention_dropout("attention_dropout")
    dropout = fields.get("mlp_dropout", 0.0)
    bias = fields.get("attention_bias", False)
    head = HeadConfig(
        "dense",
        is_tied=fields.get("tie_word_embeddings", True),
        has_bias=fields.get("decoder_bias", True),
        activation=fields.activation("classifier_activation", "gelu"),
        has_dense_bias=fields.get("classifier_bias", False),
    )
    rotary = _base(fields, _GLOBAL, "global_rope_theta", 160_000.0)
    # Null is as in global layers, and no word is the default.
    local_default = rotary if "local_rope_theta" in fields.values else 10_000.0
    return TransformerConfig(
        width=fields.need("hidden_size"),
        depth=depth,
        attention=AttentionConfig(
            fields.need("num_attention_heads"),
            qkv_bias="all" if bias else "none",
            has_out_bias=bias,
            window=window,
            global_every=every,
        ),
        ffn=FeedForwardConfig(
            fields.need("intermediate_size"),
            fields.gated_activation("hidden_activation", "gelu"),
            has_bias=fields.get("mlp_bias", False),
        ),
        norm=NormConfig(
            "layer",
            eps=fields.get("norm_eps", 1e-5),
            has_bias=fields.get("norm_bias", False),
            is_first_skipped=True,
            has_embedding_norm=True,
        ),
        positions=PositionConfig(
            source="sample",
            rotary=rotary,
            local_base=None if window is None else _base(fields, _LOCAL, "local_rope_theta", local_default),
            learned=None,
        ),
        residual=ResidualConfig(dropout=dropout),
        embedding=EmbeddingConfig(
            has_modality=False, num_repeats=0, dropout=fields.get("embedding_dropout", 0.0)
        ),
        head=head if has_head else HeadConfig(has_bias=False),
        init_std=fields.get("initializer_range", 0.02),
        max_length=longest,
    )


def _windows(fields: Fields, depth: int, longest: int) -> tuple[int | None, int | None]:
    """Rows to each side in local layers, and every which layer is global."""
    kinds = fields.get("layer_types", None)
    foreign = sorted({str(kind) for kind in kinds or ()} - {_GLOBAL, _LOCAL})
    if foreign or (kinds is not None and len(kinds) != depth):
        raise ValueError(
            f"{fields.source} has layer_types={list(kinds)} and num_hidden_layers={depth}; expected one of {_GLOBAL!r} "
            f"and {_LOCAL!r} for each layer"
        )
    every = fields.get("global_attn_every_n_layers", 3)
    if kinds is None:
        kinds = [_LOCAL if layer % every else _GLOBAL for layer in range(depth)]
    local = [layer for layer, kind in enumerate(kinds) if kind == _LOCAL]
    if not local:
        return None, None
    globals_ = [layer for layer in range(depth) if layer not in local]
    every = globals_[1] if len(globals_) > 1 else depth
    expected = [_LOCAL if layer % every else _GLOBAL for layer in range(depth)]
    if globals_ and list(kinds) != expected:
        raise ValueError(
            f"{fields.source} has layer_types={list(kinds)}, which a TransformerConfig cannot express; expected every "
            f"k-th layer, from the first on, to be {_GLOBAL!r} and the others {_LOCAL!r}"
        )
    # No text is longer than the longest, so a wider window is that wide.
    return min(fields.get("local_attention", 128) // 2, longest), every if globals_ else None


def _base(fields: Fields, kind: str, older: str, default: float) -> float:
    """Base of the rotary wavelengths of one kind of layer, as old and new files name it."""
    told = fields.get("rope_parameters", {}).get(kind) or {}
    return float(told.get("rope_theta", fields.get(older, default)))


def make_rules(config: TransformerConfig, vocabulary: Vocabulary) -> list[Rule]:
    """One rule for each of our weights."""
    has_norm_bias, around = config.norm.has_bias, margins(vocabulary, TEXT)
    num_turned = config.attention.num_heads + config.attention.kv_heads
    rules = [
        rows_from("embedding.codes.weight", "embeddings.tok_embeddings.weight", around),
        *linear("embedding_norm", "embeddings.norm", has_norm_bias),
        *linear("norm", "final_norm", has_norm_bias),
    ]
    for layer in range(config.depth):
        ours, theirs = f"blocks.{layer}", f"layers.{layer}"
        if layer:
            rules += linear(f"{ours}.attention_norm", f"{theirs}.attn_norm", has_norm_bias)
        projection = linear(f"{ours}.attention.qkv", f"{theirs}.attn.Wqkv", config.attention.has_out_bias)
        # Models that were imported by the first version keep their order.
        is_reordered = config.positions.pairing == "interleaved"
        rules += [
            neighbours_paired(r, num_turned, config.head_width) if is_reordered else r for r in projection
        ]
        rules += linear(f"{ours}.attention.out", f"{theirs}.attn.Wo", config.attention.has_out_bias)
        rules += linear(f"{ours}.ffn_norm", f"{theirs}.mlp_norm", has_norm_bias)
        rules += linear(f"{ours}.ffn.gate_up", f"{theirs}.mlp.Wi", config.ffn.has_bias)
        rules += linear(f"{ours}.ffn.down", f"{theirs}.mlp.Wo", config.ffn.has_bias)
    if config.head.kind == "dense":
        rules += linear("head_transform.dense", "head.dense", config.head.has_dense_bias)
        rules += linear("head_transform.norm", "head.norm", has_norm_bias)
        rules += [rows_from("head_bias", "decoder.bias", around)] if config.head.has_bias else []
        rules += [] if config.head.is_tied else [rows_from("head_weight", "decoder.weight", around)]
    return rules


def export_fields(config: TransformerConfig, vocabulary: Vocabulary) -> dict[str, Any]:
    """Their configuration for a model of this shape; what it cannot say is found by translating it back."""
    kinds = [
        _GLOBAL if config.attention.window_of(layer) is None else _LOCAL for layer in range(config.depth)
    ]
    rotary = config.positions.rotary or 160_000.0
    bases = {_GLOBAL: rotary, _LOCAL: config.positions.local_base or rotary}
    return {
        "architectures": ["ModernBertForMaskedLM" if config.head.kind == "dense" else "ModernBertModel"],
        "model_type": "modernbert",
        "vocab_size": vocabulary.spec(TEXT).codebook_size,
        "hidden_size": config.width,
        "intermediate_size": config.ffn.width,
        "num_hidden_layers": config.depth,
        "num_attention_heads": config.attention.num_heads,
        "hidden_activation": {
            "geglu": "gelu",
            "geglu_tanh": "gelu_new",
            "swiglu": "silu",
            "reglu": "relu",
        }.get(config.ffn.kind, config.ffn.kind),
        "max_position_embeddings": config.max_length or 8192,
        "initializer_range": config.init_std,
        "norm_eps": config.norm.eps,
        "norm_bias": config.norm.has_bias,
        "attention_bias": config.attention.has_out_bias,
        "layer_types": kinds,
        "local_attention": 2 * (config.attention.window or 64),
        "rope_parameters": {k: {"rope_type": "default", "rope_theta": base} for k, base in bases.items()},
        "embedding_dropout": config.embedding.dropout,
        "mlp_dropout": config.residual.dropout,
        "mlp_bias": config.ffn.has_bias,
        "decoder_bias": config.head.has_bias,
        "classifier_bias": config.head.has_dense_bias,
        "classifier_activation": {"gelu_tanh": "gelu_new"}.get(
            config.head.activation, config.head.activation
        ),
        "tie_word_embeddings": config.head.is_tied,
        # Theirs are ids of the first model's vocabulary; a tokenizer says its own.
        **{f"{name}_token_id": None for name in ("pad", "bos", "eos", "cls", "sep")},
        "dtype": "float32",
    }


def export_weights(weights: Mapping[str, Tensor], has_head: bool) -> dict[str, Tensor]:
    """Names as their masked-LM class has them, or as their plain encoder does."""
    if not has_head:
        return dict(weights)
    own = ("head.", "decoder.")
    return {name if name.startswith(own) else f"model.{name}": tensor for name, tensor in weights.items()}
