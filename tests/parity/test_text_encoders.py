"""transformers' text encoders, random weights from their config classes, against their imports: every layer, logits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from maskmm.interop import from_transformers
from maskmm.interop.importing import translate
from maskmm.interop.public_model import from_folder
from tests.parity.hidden_states import TOLERANCE, stir, text_difference

transformers = pytest.importorskip("transformers")

SMALL = {"vocab_size": 101, "hidden_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4}


def run_of(model: nn.Module):
    """Their layers and logits for padded ids."""

    def run(ids, is_real):
        out = model(input_ids=ids, attention_mask=is_real, output_hidden_states=True)
        return out.hidden_states, out.get("logits")

    return run


BERT = {**SMALL, "intermediate_size": 100, "max_position_embeddings": 40}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"hidden_act": "gelu_new", "layer_norm_eps": 1e-5, "type_vocab_size": 1},
        {"hidden_act": "relu", "num_attention_heads": 3, "num_hidden_layers": 1},
        {"hidden_act": "gelu_python", "tie_word_embeddings": False},
    ],
)
def test_bert(options: dict, tmp_path: Path) -> None:
    theirs = stir(transformers.BertForMaskedLM(transformers.BertConfig(**BERT | options)))
    assert text_difference(from_transformers(theirs).model, run_of(theirs)) <= TOLERANCE
    # As published: half precision, in shards.
    half = {name: tensor.half() for name, tensor in theirs.state_dict().items()}
    theirs.save_pretrained(tmp_path, state_dict=half, max_shard_size="40KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    again = transformers.BertForMaskedLM.from_pretrained(tmp_path, dtype=torch.float32).eval()
    ours = translate(replace(from_folder(tmp_path), text=None)).build()[0]
    assert text_difference(ours, run_of(again)) <= TOLERANCE
    bare = stir(transformers.BertModel(transformers.BertConfig(**BERT | options)))
    assert text_difference(from_transformers(bare).model, run_of(bare)) <= TOLERANCE


@pytest.mark.parametrize(
    "name",
    [
        "BertForPreTraining",
        "BertForSequenceClassification",
        "BertForQuestionAnswering",
        "BertForNextSentencePrediction",
    ],
)
def test_bert_with_another_head(name: str) -> None:
    theirs = stir(getattr(transformers, name)(transformers.BertConfig(**BERT)))

    def run(ids, is_real):
        out = theirs(input_ids=ids, attention_mask=is_real, output_hidden_states=True)
        return out.hidden_states, out.get("prediction_logits")

    assert text_difference(from_transformers(theirs).model, run) <= TOLERANCE


def test_a_compiled_bert() -> None:
    theirs = stir(transformers.BertForMaskedLM(transformers.BertConfig(**BERT)))
    ours = from_transformers(torch.compile(theirs)).model
    assert text_difference(ours, run_of(theirs)) <= TOLERANCE


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"pad_token_id": 3, "type_vocab_size": 1, "hidden_act": "gelu_new"},
        {"tie_word_embeddings": False, "hidden_act": "gelu_fast"},
    ],
)
def test_roberta(options: dict) -> None:
    config = transformers.RobertaConfig(**{**BERT, "pad_token_id": 1, **options})
    theirs = stir(transformers.RobertaForMaskedLM(config))
    ours = from_transformers(theirs).model

    def run(ids, is_real):
        # RoBERTa finds its positions by looking for padding, which random codes would be taken for.
        positions = (torch.arange(ids.shape[1]) + config.pad_token_id + 1).expand(ids.shape)
        out = theirs(ids, is_real, position_ids=positions, output_hidden_states=True)
        return out.hidden_states, out.logits

    assert text_difference(ours, run, config.pad_token_id) <= TOLERANCE


MODERN = {**SMALL, "intermediate_size": 72, "max_position_embeddings": 64, "pad_token_id": 0}


@pytest.mark.parametrize(
    "options",
    [
        {"local_attention": 8},
        {"local_attention": 14, "num_hidden_layers": 5, "global_attn_every_n_layers": 2, "decoder_bias": False},
        {
            "local_attention": 128, "attention_bias": True, "mlp_bias": True, "norm_bias": True,
            "classifier_bias": True, "tie_word_embeddings": False, "hidden_activation": "silu",
        },
        {"layer_types": ["full_attention"] * 3},
        {"local_attention": 8, "global_rope_theta": 500.0, "local_rope_theta": 20.0},
        {"local_attention": 128, "max_position_embeddings": 40},
    ],
)  # fmt: skip
def test_modernbert(options: dict) -> None:
    theirs = stir(transformers.ModernBertForMaskedLM(transformers.ModernBertConfig(**MODERN | options)))
    assert text_difference(from_transformers(theirs).model, run_of(theirs)) <= TOLERANCE


def test_a_modernbert_classifier() -> None:
    config = transformers.ModernBertConfig(**MODERN, local_attention=8)
    theirs = stir(transformers.ModernBertForSequenceClassification(config))
    ours = from_transformers(theirs).model

    def run(ids, is_real):
        return theirs(input_ids=ids, attention_mask=is_real, output_hidden_states=True).hidden_states, None

    assert ours.config.head.kind == "linear"
    assert text_difference(ours, run) <= TOLERANCE


@pytest.mark.skipif(not hasattr(transformers, "EuroBertConfig"), reason="this transformers has no EuroBERT")
@pytest.mark.parametrize(
    "options",
    [
        {"num_key_value_heads": 2},
        {"num_key_value_heads": 1, "attention_bias": True, "mlp_bias": True, "head_dim": 16},
        {"tie_word_embeddings": True, "mlp_bias": True},
        {"tie_word_embeddings": True, "rope_parameters": {"rope_type": "default", "rope_theta": 250000.0}},
    ],
)
def test_eurobert(options: dict) -> None:
    config = transformers.EuroBertConfig(
        **{**MODERN, "bos_token_id": 1, "eos_token_id": 2, "mask_token_id": 3, **options}
    )
    theirs = stir(transformers.EuroBertForMaskedLM(config))
    assert text_difference(from_transformers(theirs).model, run_of(theirs)) <= TOLERANCE
    bare = theirs.model
    assert text_difference(from_transformers(bare).model, run_of(bare)) <= TOLERANCE
