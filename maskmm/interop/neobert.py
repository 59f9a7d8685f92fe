"""NeoBERT (Le Breton et al., 2025) checkpoints as their authors publish them; no public package holds their code."""

from __future__ import annotations

from maskmm.interop.fields import Fields
from maskmm.interop.public_model import PublicModel
from maskmm.interop.rules import Rule, heads_apart, linear, renamed, rows_from, same
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

_RENAMES = ((r"^(?:_orig_mod\.)?(?:module\.)?", ""), (r"^model\.", ""))
_IGNORED = (r"classifier\..*", r"dense\..*", r"freqs_cis")


def translate(public: PublicModel) -> Translation:
    """Our configuration and weights; a file without the masked-LM head gives a model with an untrained tied one.

    Raises:
        ValueError: a field that the family cannot express.
    """
    fields = public.fields
    weights = renamed(public.weights, _RENAMES)
    has_head = "decoder.weight" in weights
    fields.tell_missing_head(has_head)
    config = _config(fields, has_head)
    return translate_text(public, config, fields.need("vocab_size"), _rules, weights, _IGNORED)


def _config(fields: Fields, has_head: bool) -> TransformerConfig:
    for name in ("rope", "rms_norm"):
        fields.refuse_other(name, True)
    fields.refuse_other("ngpt", False)
    fields.refuse_other("hidden_act", "SwiGLU", "swiglu")
    # Two thirds, so that three matrices cost what two would, rounded up to a multiple of 8.
    hidden = -(-int(2 * fields.need("intermediate_size") / 3) // 8) * 8
    return TransformerConfig(
        width=fields.need("hidden_size"),
        depth=fields.need("num_hidden_layers"),
        attention=AttentionConfig(fields.need("num_attention_heads")),
        ffn=FeedForwardConfig(hidden, "swiglu"),
        norm=NormConfig("rms", eps=fields.get("norm_eps", 1e-6)),
        positions=PositionConfig(source="sample", rotary=10_000.0, pairing="interleaved", learned=None),
        residual=ResidualConfig(dropout=fields.get("dropout", 0.0)),
        embedding=EmbeddingConfig(has_modality=False, num_repeats=0),
        head=HeadConfig(is_tied=False) if has_head else HeadConfig(has_bias=False),
        init_std=fields.get("embedding_init_range", 0.02),
        max_length=fields.need("max_length"),
    )


def _rules(config: TransformerConfig, vocabulary: Vocabulary) -> list[Rule]:
    around = margins(vocabulary, TEXT)
    rules = [
        rows_from("embedding.codes.weight", "encoder.weight", around),
        *linear("norm", "layer_norm", False),
    ]
    for layer in range(config.depth):
        ours, theirs = f"blocks.{layer}", f"transformer_encoder.{layer}"
        rules += [
            heads_apart(f"{ours}.attention.qkv.weight", f"{theirs}.qkv.weight", config.attention.num_heads),
            same(f"{ours}.attention.out.weight", f"{theirs}.wo.weight"),
            same(f"{ours}.attention_norm.weight", f"{theirs}.attention_norm.weight"),
            same(f"{ours}.ffn.gate_up.weight", f"{theirs}.ffn.w12.weight"),
            same(f"{ours}.ffn.down.weight", f"{theirs}.ffn.w3.weight"),
            same(f"{ours}.ffn_norm.weight", f"{theirs}.ffn_norm.weight"),
        ]
    if not config.head.is_tied:
        rules.append(rows_from("head_weight", "decoder.weight", around))
        rules.append(rows_from("head_bias", "decoder.bias", around))
    return rules
