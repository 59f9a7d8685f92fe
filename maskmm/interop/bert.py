"""BERT (Devlin et al., 2019) as transformers publishes it, to and from a TransformerConfig."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from maskmm.interop.fields import Fields
from maskmm.interop.output_layer import output_rules, unused_output, with_output_bias
from maskmm.interop.public_model import PublicModel
from maskmm.interop.rules import Rule, linear, renamed, rows_from, same, stacked
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

_RENAMES = (
    (r"LayerNorm\.gamma$", "LayerNorm.weight"),
    (r"LayerNorm\.beta$", "LayerNorm.bias"),
    (r"^bert\.", ""),
)
_IGNORED = (
    r"pooler\..*",
    r"cls\.seq_relationship\..*",
    r"classifier\..*",
    r"qa_outputs\..*",
    r"embeddings\.position_ids",
)
_OUTPUT = "cls.predictions"
_HEAD = f"{_OUTPUT}.transform"


def translate(public: PublicModel) -> Translation:
    """Our configuration and weights; a file without the masked-LM head gives a model with an untrained tied one.

    Raises:
        ValueError: a field that the family cannot express.
    """
    fields = public.fields
    fields.refuse_other("is_decoder", False)
    fields.refuse_other("add_cross_attention", False)
    is_tied = fields.get("tie_word_embeddings", True)
    weights = with_output_bias(renamed(public.weights, _RENAMES), _OUTPUT, is_tied)
    activation = fields.activation("hidden_act", "gelu")
    has_head = f"{_HEAD}.dense.weight" in weights
    fields.tell_missing_head(has_head)
    config = encoder_config(fields, HeadConfig("dense", is_tied, activation=activation) if has_head else None)
    ignored = (*_IGNORED, *unused_output(_OUTPUT, is_tied))
    return translate_text(public, config, fields.need("vocab_size"), make_rules, weights, ignored)


def encoder_config(fields: Fields, head: HeadConfig | None, offset: int = 0) -> TransformerConfig:
    """The shape that BERT and RoBERTa share.

    Args:
        fields: theirs.
        head: the masked-LM head; None where it is not there.
        offset: row of the position table for the first token.

    Raises:
        ValueError: a field that the family cannot express.
    """
    fields.refuse_other("position_embedding_type", "absolute")
    fields.tell_attention_dropout("attention_probs_dropout_prob")
    activation, dropout = fields.activation("hidden_act", "gelu"), fields.get("hidden_dropout_prob", 0.1)
    return TransformerConfig(
        width=fields.need("hidden_size"),
        depth=fields.need("num_hidden_layers"),
        attention=AttentionConfig(fields.need("num_attention_heads"), qkv_bias="all", has_out_bias=True),
        ffn=FeedForwardConfig(fields.need("intermediate_size"), activation, has_bias=True),
        norm=NormConfig(
            "layer",
            "post",
            fields.get("layer_norm_eps", 1e-12),
            has_bias=True,
            has_final=False,
            has_embedding_norm=True,
        ),
        positions=PositionConfig(
            source="sample",
            rotary=None,
            learned="absolute",
            size=fields.need("max_position_embeddings"),
            offset=offset,
        ),
        residual=ResidualConfig(dropout=dropout),
        embedding=EmbeddingConfig(
            has_modality=False, num_repeats=fields.get("type_vocab_size", 2), dropout=dropout
        ),
        head=head or HeadConfig(has_bias=False),
        init_std=fields.get("initializer_range", 0.02),
    )


def encoder_rules(config: TransformerConfig, vocabulary: Vocabulary) -> list[Rule]:
    """Embedding and blocks, as BERT and RoBERTa name them."""
    rules = [
        rows_from("embedding.codes.weight", "embeddings.word_embeddings.weight", margins(vocabulary, TEXT)),
        same("embedding.positions.weight", "embeddings.position_embeddings.weight"),
        same("embedding.repeat.weight", "embeddings.token_type_embeddings.weight"),
        *linear("embedding_norm", "embeddings.LayerNorm"),
    ]
    for layer in range(config.depth):
        ours, theirs = f"blocks.{layer}", f"encoder.layer.{layer}"
        projections = [f"{theirs}.attention.self.{part}" for part in ("query", "key", "value")]
        rules += [
            stacked(f"{ours}.attention.qkv.{kind}", [f"{p}.{kind}" for p in projections], [config.width] * 3)
            for kind in ("weight", "bias")
        ]
        rules += linear(f"{ours}.attention.out", f"{theirs}.attention.output.dense")
        rules += linear(f"{ours}.attention_norm", f"{theirs}.attention.output.LayerNorm")
        rules += linear(f"{ours}.ffn.up", f"{theirs}.intermediate.dense")
        rules += linear(f"{ours}.ffn.down", f"{theirs}.output.dense")
        rules += linear(f"{ours}.ffn_norm", f"{theirs}.output.LayerNorm")
    return rules


def make_rules(config: TransformerConfig, vocabulary: Vocabulary) -> list[Rule]:
    """One rule for each of our weights."""
    encoder = encoder_rules(config, vocabulary)
    if config.head.kind == "linear":
        return encoder
    return [
        *encoder,
        *output_rules(_OUTPUT, config.head.is_tied, margins(vocabulary, TEXT)),
        *linear("head_transform.dense", f"{_HEAD}.dense"),
        *linear("head_transform.norm", f"{_HEAD}.LayerNorm"),
    ]


def export_fields(config: TransformerConfig, vocabulary: Vocabulary) -> dict[str, Any]:
    """Their configuration for a model of this shape; what it cannot say is found by translating it back."""
    has_head = config.head.kind == "dense"
    return {
        "architectures": ["BertForMaskedLM" if has_head else "BertModel"],
        "model_type": "bert",
        "vocab_size": vocabulary.spec(TEXT).codebook_size,
        "hidden_size": config.width,
        "num_hidden_layers": config.depth,
        "num_attention_heads": config.attention.num_heads,
        "intermediate_size": config.ffn.width,
        "hidden_act": {"gelu_tanh": "gelu_new"}.get(config.ffn.kind, config.ffn.kind),
        "hidden_dropout_prob": config.residual.dropout,
        "attention_probs_dropout_prob": 0.0,
        "max_position_embeddings": config.positions.size,
        "type_vocab_size": config.embedding.num_repeats,
        "initializer_range": config.init_std,
        "layer_norm_eps": config.norm.eps,
        "position_embedding_type": "absolute",
        "tie_word_embeddings": config.head.is_tied,
        "dtype": "float32",
    }


def export_weights(weights: Mapping[str, Tensor], has_head: bool) -> dict[str, Tensor]:
    """Names as their masked-LM class has them, or as their plain encoder does."""
    if not has_head:
        return dict(weights)
    # Older versions look for the bias beside the output layer, tied or not.
    bias = weights.get(f"{_OUTPUT}.decoder.bias")
    outer = {} if bias is None else {f"{_OUTPUT}.bias": bias.clone()}
    named = {name if name.startswith("cls.") else f"bert.{name}": tensor for name, tensor in weights.items()}
    return named | outer
