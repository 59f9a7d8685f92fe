"""There and back: what transformers loads from our export is the model that was imported."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer as Pieces
from tokenizers import models, pre_tokenizers, processors

from maskmm.interop import export_transformers, from_transformers
from maskmm.interop import modernbert as translation
from maskmm.interop.rules import to_ours, to_theirs
from maskmm.model import MaskedTransformer
from maskmm.pipeline import Pipeline
from tests.parity.hidden_states import TOLERANCE, stir

transformers = pytest.importorskip("transformers")

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat", "sat", "on", "a", "mat", "##s", "."]
TEXTS = ["the cat", "The cats sat on a [MASK].", "mat"]
SMALL = {"vocab_size": 20, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4}


@pytest.fixture
def tokenizer(tmp_path: Path):
    (tmp_path / "vocab.txt").write_text("\n".join(WORDS))
    return transformers.BertTokenizerFast(str(tmp_path / "vocab.txt"))


def bert(**options):
    config = transformers.BertConfig(**SMALL, intermediate_size=40, max_position_embeddings=24, **options)
    return transformers.BertForMaskedLM(config)


def modernbert(**options):
    config = transformers.ModernBertConfig(
        **SMALL,
        intermediate_size=40,
        max_position_embeddings=24,
        local_attention=8,
        pad_token_id=0,
        **options,
    )
    return transformers.ModernBertForMaskedLM(config)


@pytest.mark.parametrize(
    ("build", "kind", "options"),
    [
        (bert, "bert", {}),
        (bert, "bert", {"hidden_act": "gelu_new", "type_vocab_size": 1, "layer_norm_eps": 1e-6}),
        (bert, "bert", {"tie_word_embeddings": False}),
        (modernbert, "modernbert", {}),
        (modernbert, "modernbert", {"tie_word_embeddings": False, "norm_bias": True, "attention_bias": True}),
        (modernbert, "modernbert", {"layer_types": ["full_attention"] * 3, "decoder_bias": False}),
    ],
)
def test_there_and_back(build, kind: str, options: dict, tokenizer, tmp_path: Path) -> None:
    theirs = stir(build(**options))
    pipeline = from_transformers(theirs, tokenizer)
    export_transformers(pipeline, tmp_path / "out", kind)
    model, told = transformers.AutoModelForMaskedLM.from_pretrained(
        tmp_path / "out", output_loading_info=True
    )
    assert not told["missing_keys"] and not told["unexpected_keys"] and not told["mismatched_keys"]
    again = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    batch, expected = (t(TEXTS, padding=True, return_tensors="pt") for t in (again, tokenizer))
    assert torch.equal(batch["input_ids"], expected["input_ids"])
    assert again.mask_token == "[MASK]" and again.model_max_length == 24
    # Sentence pairs too, and the whole output of the tokenizer goes into the model.
    pairs = [t("the cat", "sat on a mat", return_tensors="pt") for t in (again, tokenizer)]
    assert ("token_type_ids" in pairs[0]) == (getattr(model.config, "type_vocab_size", 1) > 1)
    assert all(torch.equal(value, pairs[1][name]) for name, value in pairs[0].items())
    assert model(**pairs[0]).logits.isfinite().all()
    with torch.no_grad():
        logits = [
            m.eval()(**{k: expected[k] for k in ("input_ids", "attention_mask")}).logits
            for m in (theirs, model)
        ]
    torch.testing.assert_close(*logits, atol=TOLERANCE, rtol=0)
    once_more = from_transformers(tmp_path / "out").model
    for one, other in zip(pipeline.model.parameters(), once_more.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("kind", ["bert", "modernbert"])
def test_plain_encoders(kind: str, tokenizer, tmp_path: Path) -> None:
    masked = bert() if kind == "bert" else modernbert()
    theirs = stir(masked.base_model)
    export_transformers(from_transformers(theirs, tokenizer), tmp_path / "out", kind)
    model, told = transformers.AutoModel.from_pretrained(tmp_path / "out", output_loading_info=True)
    # A pooler is no part of what was imported.
    assert all("pooler" in name for name in told["missing_keys"]) and not told["unexpected_keys"]
    batch = tokenizer(TEXTS, padding=True, return_tensors="pt")
    with torch.no_grad():
        hidden = [
            m.eval()(batch["input_ids"], batch["attention_mask"]).last_hidden_state for m in (theirs, model)
        ]
    torch.testing.assert_close(*hidden, atol=TOLERANCE, rtol=0)


def test_special_tokens_of_other_names(tmp_path: Path) -> None:
    pieces = Pieces(
        models.WordLevel({"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "a": 4, "<mask>": 5}, "<unk>")
    )
    pieces.pre_tokenizer = pre_tokenizers.Whitespace()
    pieces.add_special_tokens(["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    pieces.post_processor = processors.BertProcessing(("</s>", 2), ("<s>", 0))
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=pieces, mask_token="<mask>")
    export_transformers(from_transformers(bert(pad_token_id=1), tokenizer), tmp_path / "out", "bert")
    again = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    assert again(["a <mask> b", "a"], padding=True)["input_ids"] == [[0, 4, 5, 3, 2], [0, 4, 2, 1, 1]]
    assert transformers.AutoConfig.from_pretrained(tmp_path / "out").pad_token_id == 1


@pytest.mark.parametrize("kind", ["bert", "modernbert"])
def test_without_a_tokenizer(kind: str, tmp_path: Path) -> None:
    theirs = stir(bert() if kind == "bert" else modernbert())
    export_transformers(from_transformers(theirs), tmp_path / "out", kind)
    model = transformers.AutoModelForMaskedLM.from_pretrained(tmp_path / "out").eval()
    ids = torch.arange(20)[None]
    with torch.no_grad():
        torch.testing.assert_close(model(ids).logits, theirs(ids).logits, atol=TOLERANCE, rtol=0)


def test_models_of_the_first_version_turn_halves_and_are_exported_alike(tokenizer, tmp_path: Path) -> None:
    pipeline = from_transformers(stir(modernbert(attention_bias=True)), tokenizer)
    config, vocabulary = pipeline.model.config, pipeline.vocabulary
    old_config = replace(config, positions=replace(config.positions, pairing="halves"))
    rules, old_rules = (translation.make_rules(c, vocabulary) for c in (config, old_config))
    theirs = to_theirs(rules, {name: p.detach() for name, p in pipeline.model.named_parameters()})
    old = MaskedTransformer(vocabulary, old_config)
    old.load_state_dict(to_ours(old_rules, theirs, (), "theirs")[0])
    old_pipeline = Pipeline(old, pipeline.tokenizers)
    assert not torch.equal(old.blocks[0].attention.qkv.weight, pipeline.model.blocks[0].attention.qkv.weight)
    features = [p.extract_features({"text": TEXTS})["text"] for p in (old_pipeline, pipeline)]
    torch.testing.assert_close(*features, atol=TOLERANCE, rtol=0)
    for name, each in (("old", old_pipeline), ("new", pipeline)):
        export_transformers(each, tmp_path / name, "modernbert")
    files = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("old", "new")]
    assert files[0] == files[1]
