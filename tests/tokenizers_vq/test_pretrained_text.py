"""Text tokenizers of public models: their own pieces, their special tokens, their folders."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer as Pieces
from tokenizers import models, pre_tokenizers, processors

from tokenizers_vq.contract import load_tokenizer
from tokenizers_vq.pretrained_text import PretrainedText
from tokenizers_vq.public_vocabulary import PublicVocabulary

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat", "sat", "s", "##at", "##s", ".", "a", "b"]
SPECIALS = {"[CLS]": 2, "[SEP]": 3, "[MASK]": 4}


@pytest.fixture
def bert_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "bert"
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    return folder


@pytest.fixture
def roberta_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "roberta"
    folder.mkdir()
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    names = ["<s>", "<pad>", "</s>", "<unk>", *letters, "th", "the", "Ġthe", "at", "<mask>"]
    (folder / "vocab.json").write_text(json.dumps({name: i for i, name in enumerate(names)}))
    (folder / "merges.txt").write_text("#version: 0.2\nt h\nth e\nĠ the\na t\n")
    return folder


def text(folder: Path, max_rows: int = 12) -> PretrainedText:
    return PretrainedText.from_public(folder, 400, max_rows)


def test_word_pieces_of_a_vocab_file(bert_folder: Path) -> None:
    tokenizer = text(bert_folder)
    assert tokenizer.specials == SPECIALS
    assert tokenizer.spec.max_length == 10, "two of the rows are [CLS] and [SEP]"
    codes = tokenizer.encode(["The cats SAT.", "the [MASK] sat"])
    assert [c[:, 0].tolist() for c in codes] == [[5, 6, 10, 7, 11], [5, 4, 7]]
    assert tokenizer.decode(codes) == ["the cats sat.", "the sat"]
    assert [g.tolist() for g in tokenizer.groups(["the cats", "a [MASK]"])] == [[0, 1, 1], [0, -1]]


def test_byte_pairs_of_vocab_and_merges(roberta_folder: Path) -> None:
    tokenizer = text(roberta_folder)
    vocabulary = json.loads((roberta_folder / "vocab.json").read_text())
    assert tokenizer.specials == {"[CLS]": 0, "[SEP]": 2, "[MASK]": vocabulary["<mask>"]}
    codes = tokenizer.encode(["the the cat", "é", "a <mask>"])
    names = ["the", "Ġthe", "Ġ", "c", "at"]
    assert codes[0][:, 0].tolist() == [vocabulary[name] for name in names]
    assert codes[1].shape == (2, 1), "two bytes"
    assert codes[2][:, 0].tolist() == [vocabulary["a"], vocabulary["<mask>"]], "the mask takes the space"
    assert tokenizer.decode(codes[:2]) == ["the the cat", "é"]


def test_words_are_known_from_codes_alone(bert_folder: Path, roberta_folder: Path) -> None:
    is_continuing = text(bert_folder).continues_word()
    assert is_continuing is not None and is_continuing.shape == (400,)
    assert is_continuing.nonzero()[:, 0].tolist() == [WORDS.index("##at"), WORDS.index("##s")]
    tokenizer = text(roberta_folder)
    is_continuing = tokenizer.continues_word()
    assert is_continuing is not None
    (codes,) = tokenizer.encode(["the the cat"])
    assert is_continuing[codes[:, 0]].tolist() == [True, False, False, True, True]
    assert not is_continuing[torch.tensor(list(tokenizer.specials.values()))].any()


def test_a_definition_file_keeps_its_own_rules_but_for_cutting_and_padding(bert_folder: Path) -> None:
    pieces = Pieces.from_str(PublicVocabulary.read(bert_folder).definition)
    pieces.enable_truncation(2)
    pieces.enable_padding(length=9)
    pieces.save(str(bert_folder / "tokenizer.json"))
    (bert_folder / "special_tokens_map.json").write_text(json.dumps({"mask_token": {"content": "[MASK]"}}))
    tokenizer = text(bert_folder)
    assert tokenizer.specials == SPECIALS
    assert tokenizer.encode(["the cat sat . a b"])[0].shape == (6, 1)


def test_a_mask_that_no_setting_names(bert_folder: Path, roberta_folder: Path) -> None:
    """As bert-base-uncased and roberta-base are published: their tokenizer classes know the name."""
    for folder in (bert_folder, roberta_folder):
        expected = PublicVocabulary.read(folder)
        (folder / "tokenizer.json").write_text(expected.definition)
        (folder / "tokenizer_config.json").write_text('{"model_max_length": 512}')
        assert PublicVocabulary.read(folder).specials == expected.specials
        assert "[MASK]" in expected.specials
    pieces = Pieces.from_str(PublicVocabulary.read(bert_folder).definition)
    assert PublicVocabulary.of(pieces, {"mask_token": "the"}).specials["[MASK]"] == WORDS.index("the")


def test_settings_overrule_the_normalisation_of_a_definition_file(bert_folder: Path) -> None:
    (bert_folder / "tokenizer.json").write_text(PublicVocabulary.read(bert_folder).definition)
    assert text(bert_folder).encode(["THE cät"])[0][:, 0].tolist() == [5, 6]
    (bert_folder / "tokenizer_config.json").write_text('{"do_lower_case": false, "strip_accents": true}')
    assert text(bert_folder).encode(["THE cät"])[0][:, 0].tolist() == [1, 6]


def test_tokens_that_were_added_to_a_vocabulary(bert_folder: Path) -> None:
    (bert_folder / "added_tokens.json").write_text('{"[E2]": 15, "[E1]": 14}')
    codes = text(bert_folder).encode(["the [E1] cat [E2]"])[0]
    assert codes[:, 0].tolist() == [5, 14, 6, 15]
    (bert_folder / "added_tokens.json").write_text('{"[E1]": 20}')
    with pytest.raises(ValueError, match=r"adds \{'\[E1\]': 20\}, which do not follow"):
        text(bert_folder)


def test_special_tokens_that_settings_describe(bert_folder: Path) -> None:
    named = {"unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"}
    described = {role: {"content": name, "lstrip": False} for role, name in named.items()}
    expected = PublicVocabulary.read(bert_folder)
    (bert_folder / "special_tokens_map.json").write_text(json.dumps(described))
    assert PublicVocabulary.read(bert_folder) == expected


def test_a_vocabulary_without_special_rows(bert_folder: Path) -> None:
    pieces = Pieces(models.WordLevel({"a": 0, "b": 1, "<unk>": 2}, unk_token="<unk>"))
    pieces.pre_tokenizer = pre_tokenizers.Whitespace()
    assert PublicVocabulary.of(pieces, {}).specials == {}
    pieces.post_processor = processors.TemplateProcessing(
        single="$A b b", pair="$A $B", special_tokens=[("b", 1)]
    )
    with pytest.raises(ValueError, match=r"special tokens around a text, \[0, 1, 1\] for \[0\]"):
        PublicVocabulary.of(pieces, {})


@pytest.mark.parametrize("kind", ["bert_folder", "roberta_folder"])
def test_a_saved_folder_is_the_same_tokenizer(kind: str, request, tmp_path: Path) -> None:
    tokenizer = text(request.getfixturevalue(kind))
    tokenizer.save(tmp_path / "saved")
    again = load_tokenizer(tmp_path / "saved")
    assert isinstance(again, PretrainedText)
    assert again.fingerprint() == tokenizer.fingerprint() and again.specials == tokenizer.specials
    assert torch.equal(again.encode(["the cat"])[0], tokenizer.encode(["the cat"])[0])
    (tmp_path / "saved" / "tokenizer.json").unlink()
    with pytest.raises(ValueError, match="half-copied"):
        load_tokenizer(tmp_path / "saved")


def test_a_definition_in_memory(bert_folder: Path) -> None:
    definition = text(bert_folder).definition
    again = PretrainedText.from_public(definition, 400, 12, {"mask_token": "[MASK]"})
    assert again.fingerprint() == text(bert_folder).fingerprint()


def test_bad_files_are_refused(tmp_path: Path, bert_folder: Path, roberta_folder: Path) -> None:
    with pytest.raises(ValueError, match="expected tokenizer.json, vocab.txt"):
        PublicVocabulary.read(tmp_path)
    (roberta_folder / "vocab.json").write_text("[1")
    with pytest.raises(ValueError, match="is no JSON"):
        PublicVocabulary.read(roberta_folder)
    (roberta_folder / "vocab.json").write_text('{"<s>": 0}')
    with pytest.raises(ValueError, match=r"lacks the special token '</s>', which stands for \[SEP\]"):
        PublicVocabulary.read(roberta_folder)
    (roberta_folder / "vocab.json").write_text('{"<s>": 0, "</s>": 1, "<mask>": 2}')
    with pytest.raises(ValueError, match="vocab.json and merges.txt do not belong together"):
        PublicVocabulary.read(roberta_folder)
    (bert_folder / "tokenizer.json").write_text("{}")
    with pytest.raises(ValueError, match="cannot be read by the tokenizers library"):
        PublicVocabulary.read(bert_folder)


def test_bad_texts_and_sizes_are_refused(bert_folder: Path) -> None:
    tokenizer = text(bert_folder, max_rows=5)
    with pytest.raises(
        ValueError, match="has 4 pieces, expected at most 3, as many as the model has positions"
    ):
        tokenizer.encode(["the cat sat ."])
    with pytest.raises(ValueError, match="holds no word"):
        tokenizer.encode([" "])
    with pytest.raises(ValueError, match="expected a list of str"):
        tokenizer.encode("the cat")
    with pytest.raises(ValueError, match="codes up to 13, the model a table of 10 rows"):
        PretrainedText.from_public(bert_folder, 10, 12)
    with pytest.raises(ValueError, match=r"special tokens \{'\[CLS\]': 99\}"):
        PretrainedText(tokenizer.definition, 20, 5, {"[CLS]": 99})
