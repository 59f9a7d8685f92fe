"""RoBERTa (Liu et al., 2019) as transformers publishes it: BERT with positions from 2 and another head."""

from __future__ import annotations

from maskmm.interop.bert import encoder_config, encoder_rules
from maskmm.interop.output_layer import output_rules, unused_output, with_output_bias
from maskmm.interop.public_model import PublicModel
from maskmm.interop.rules import Rule, linear, renamed
from maskmm.interop.translation import TEXT, Translation, margins, translate_text
from maskmm.model import TransformerConfig
from maskmm.nn.config import HeadConfig
from maskmm.vocabulary import Vocabulary

_RENAMES = ((r"^roberta\.", ""),)
_IGNORED = (
    r"pooler\..*",
    r"classifier\..*",
    r"qa_outputs\..*",
    r"embeddings\.position_ids",
)
_OUTPUT = "lm_head"


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
    # The rows up to that of padding are never used.
    offset = fields.get("pad_token_id", 1) + 1
    # Its head has the exact GELU, whatever the blocks have.
    head = HeadConfig("dense", is_tied) if f"{_OUTPUT}.dense.weight" in weights else None
    fields.tell_missing_head(head is not None)
    config = encoder_config(fields, head, offset)
    ignored = (*_IGNORED, *unused_output(_OUTPUT, is_tied))
    return translate_text(public, config, fields.need("vocab_size"), _rules, weights, ignored)


def _rules(config: TransformerConfig, vocabulary: Vocabulary) -> list[Rule]:
    encoder = encoder_rules(config, vocabulary)
    if config.head.kind == "linear":
        return encoder
    return [
        *encoder,
        *output_rules(_OUTPUT, config.head.is_tied, margins(vocabulary, TEXT)),
        *linear("head_transform.dense", f"{_OUTPUT}.dense"),
        *linear("head_transform.norm", f"{_OUTPUT}.layer_norm"),
    ]
