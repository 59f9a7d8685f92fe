"""Texts through tokenizers: [CLS], [SEP], [MASK] and sentence pairs lie where transformers puts them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer as Pieces
from tokenizers import decoders, models, pre_tokenizers, processors

from maskmm import Edit
from maskmm.checkpoint import save_checkpoint
from maskmm.interop import from_transformers
from maskmm.pipeline import load
from maskmm.sequence import pack
from tests.parity.hidden_states import TOLERANCE, largest_difference, rows_of, stir
from tokenizers_vq.contract import TokenBatch

transformers = pytest.importorskip("transformers")

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat", "sat", "on", "a", "mat", "##s", "."]
TEXTS = ["the cat", "The cats sat on a [MASK].", "mat", "the mats on a cat . the cat"]
PAIRS = [("the cat", "sat on a mat"), ("a", "cats"), ("the [MASK] sat", ".")]


@pytest.fixture
def bert(tmp_path: Path):
    """A folder as transformers saves it: model, configuration, vocabulary."""
    (tmp_path / "vocab.txt").write_text("\n".join(WORDS))
    tokenizer = transformers.BertTokenizerFast(str(tmp_path / "vocab.txt"))
    config = transformers.BertConfig(
        vocab_size=20, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=40,
        max_position_embeddings=24,
    )  # fmt: skip
    model = stir(transformers.BertForMaskedLM(config))
    model.save_pretrained(tmp_path / "bert")
    tokenizer.save_pretrained(tmp_path / "bert")
    return model, tokenizer, tmp_path / "bert"


def compare(model, tokenizer, pipeline, texts, samples) -> float:
    batch = tokenizer(texts, padding=True, return_tensors="pt")
    with torch.no_grad():
        out = model(**batch, output_hidden_states=True)
    is_real = batch["attention_mask"]
    sequence = pack(TokenBatch.from_samples(samples, pipeline.vocabulary.modalities), pipeline.vocabulary)
    start = pipeline.vocabulary.slice("text", 0).start
    assert torch.equal(sequence.ids[:, 0] - start, rows_of(batch["input_ids"], is_real))
    layers = [rows_of(x, is_real) for x in out.hidden_states]
    return largest_difference(pipeline.model, sequence, layers, rows_of(out.logits, is_real))


def test_texts_and_pairs(bert) -> None:
    model, tokenizer, folder = bert
    pipeline = from_transformers(folder)
    texts = [{"text": codes} for codes in pipeline.encode({"text": TEXTS})["text"]]
    assert compare(model, tokenizer, pipeline, TEXTS, texts) <= TOLERANCE
    pairs = [{"text": list(pipeline.encode({"text": list(pair)})["text"])} for pair in PAIRS]
    assert compare(model, tokenizer, pipeline, PAIRS, pairs) <= TOLERANCE


def test_features_and_masks_through_the_front_door(bert, tmp_path: Path) -> None:
    model, tokenizer, folder = bert
    pipeline = from_transformers(model, tokenizer)
    save_checkpoint(tmp_path / "ours", pipeline.model, pipeline.tokenizers)
    batch = tokenizer(TEXTS, padding=True, return_tensors="pt")
    with torch.no_grad():
        hidden = model.bert(**batch).last_hidden_state
    for one in (from_transformers(folder), load(tmp_path / "ours")):
        cls = one.extract_features({"text": TEXTS}, pool="cls")["text"]
        torch.testing.assert_close(cls, hidden[:, 0], atol=TOLERANCE, rtol=0)
        mask, weight = batch["attention_mask"][..., None], hidden
        mean = (weight * mask).sum(1) / mask.sum(1)
        found = one.extract_features({"text": TEXTS}, pool="all")["text"]
        torch.testing.assert_close(found, mean, atol=TOLERANCE, rtol=0)
    with pytest.raises(
        ValueError, match="has 23 pieces, expected at most 22, as many as the model has positions"
    ):
        pipeline.extract_features({"text": ["the " * 23]})


def test_a_mask_is_filled_as_by_transformers(bert) -> None:
    model, tokenizer, folder = bert
    batch = tokenizer("the [MASK] sat", return_tensors="pt")
    with torch.no_grad():
        ids = batch["input_ids"].where(batch["input_ids"] != 4, model(**batch).logits.argmax(-1))[0]
    edit = Edit(media=["the [MASK] sat"], is_unknown=[torch.tensor([False, True, False])])
    filled = from_transformers(folder).generate({}, ["text"], edit={"text": edit}, temperature=0.0)
    assert filled.codes["text"][0][:, 0].tolist() == ids[1:-1].tolist()


def test_a_roberta_tokenizer_of_its_own_files(tmp_path: Path) -> None:
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    names = ["<s>", "<pad>", "</s>", "<unk>", *letters, "<mask>"]
    pieces = Pieces(models.BPE({name: i for i, name in enumerate(names)}, []))
    pieces.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    pieces.decoder = decoders.ByteLevel()
    pieces.add_special_tokens(["<s>", "</s>", "<mask>"])
    pieces.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=pieces, bos_token="<s>", eos_token="</s>", pad_token="<pad>", mask_token="<mask>"
    )
    config = transformers.RobertaConfig(
        vocab_size=len(names), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=40,
        max_position_embeddings=64, pad_token_id=1, type_vocab_size=1,
    )  # fmt: skip
    model = stir(transformers.RobertaForMaskedLM(config))
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    pipeline = from_transformers(tmp_path)
    assert pipeline.vocabulary.spec("text").max_length == 60, "rows 0 and 1 of the table, <s> and </s>"
    texts = ["the cat", "a <mask> é", "x"]
    samples = [{"text": codes} for codes in pipeline.encode({"text": texts})["text"]]
    assert compare(model, tokenizer, pipeline, texts, samples) <= TOLERANCE
