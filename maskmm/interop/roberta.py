"""RoBERTa (Liu et al., 2019) as transformers publishes it: BERT with positions from 2 and another head."""

from __future__ import annotations

from maskmm.interop.bert import encoder_config, encoder_rules
from maskmm.interop.public_model import PublicModel
from maskmm.interop.rules import Rule, linear, renamed, rows_from
from maskmm.interop.translation import TEXT, Translation, margins, translate_text
from maskmm.model import TransformerConfig
from maskmm.nn.config import HeadConfig
from maskmm.vocabulary import Vocabulary

_RENAMES = ((r"^roberta\.", ""), (r"^lm_head\.decoder\.bias$", "lm_head.bias"))
_IGNORED = (
    r"pooler\..*",
    r"classifier\..*",
    r"qa_outputs\..*",
    r"embeddings\.position_ids",
    r"lm_head\.decoder\.weight",
)


def translate(public: PublicModel) -> Translation:
    """Our configuration and weights; a file without the masked-LM head gives a model with an untrained tied one.

    Raises:
        ValueError: a field that the family cannot express.
    """
    fields = public.fields
    fields.refuse_other("is_decoder", False)
    fields.refuse_other("add_cross_attention", False)
    fields.refuse_other("tie_word_embeddings", True)
    weights = renamed(public.weights, _RENAMES)
    # The rows up to that of padding are never used.
    offset = fields.get("pad_token_id", 1) + 1
    # Its head has the exact GELU, whatever the blocks have.
    head = HeadConfig("dense") if "lm_head.dense.weight" in weights else None
    config = encoder_config(fields, head, offset)
    return translate_text(public, config, fields.need("vocab_size"), _rules, weights, _IGNORED)


def _rules(config: TransformerConfig, vocabulary: Vocabulary) -> list[Rule]:
    encoder = encoder_rules(config, vocabulary)
    if config.head.kind == "linear":
        return encoder
    return [
        *encoder,
        rows_from("head_bias", "lm_head.bias", margins(vocabulary, TEXT)),
        *linear("head_transform.dense", "lm_head.dense"),
        *linear("head_transform.norm", "lm_head.layer_norm"),
    ]
