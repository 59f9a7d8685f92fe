import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tokenizers_vq.contract import load_tokenizer
from tokenizers_vq.text import UNKNOWN, WordPieceText

WORDS = [
    "zero",
    "handwritten",
    "seven",
    "digit",
    "the",
    "a",
    "number",
    "isn't",
    "7",
    "(",
    ")",
    ",",
    "!",
    "--",
    "café",
]
TEXTS = ["the handwritten digit seven", "a number, isn't (zero)!", "7 -- café", "seven " * 10]
TOKENIZER = WordPieceText.from_texts(TEXTS, 80)


@given(st.lists(st.sampled_from(WORDS), min_size=1, max_size=12))
def test_decoding_is_the_inverse_of_encoding_for_known_words(words):
    text = TOKENIZER.normalise(" ".join(words))
    assert TOKENIZER.decode(TOKENIZER.encode([text])) == [text]
    assert TOKENIZER.normalise(text) == text


def test_normalisation_is_that_of_bert():
    assert TOKENIZER.normalise("  The\tCAFÉ ,isn't\nit?") == "the cafe, isn't it?"
    assert TOKENIZER.decode(TOKENIZER.encode(["The CAFÉ,  a (Number) !"])) == ["the cafe, a (number)!"]


def test_only_the_unknown_is_special():
    codes = TOKENIZER.encode(["the жук seven"])[0][:, 0].tolist()
    assert TOKENIZER.vocabulary[codes[1]] == UNKNOWN
    assert TOKENIZER.decode([torch.tensor(codes)[:, None]]) == ["the [UNK] seven"]
    assert TOKENIZER.encode(["seven"])[0].shape[0] <= 5
    assert not any(
        piece.startswith("[") and piece != UNKNOWN and len(piece) > 1 for piece in TOKENIZER.vocabulary
    )


def test_groups_are_whole_words():
    texts = ["the zeroseven, digit", "seven"]
    for codes, groups in zip(TOKENIZER.encode(texts), TOKENIZER.groups(texts)):
        assert groups.shape == codes.shape[:1]
        pieces = [TOKENIZER.vocabulary[code] for code in codes[:, 0].tolist()]
        begins = [not piece.startswith("##") for piece in pieces]
        assert groups.tolist() == (torch.tensor(begins).long().cumsum(0) - 1).tolist()
    assert len(set(TOKENIZER.groups(texts)[0].tolist())) == 4


def test_learning_is_deterministic():
    again = WordPieceText.from_texts(TEXTS, 80)
    assert again.vocabulary == TOKENIZER.vocabulary
    assert again.fingerprint() == TOKENIZER.fingerprint()
    assert WordPieceText.from_texts(TEXTS, 70).fingerprint() != TOKENIZER.fingerprint()


def test_a_vocabulary_of_bert_loads(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_text("[PAD]\n[UNK]\n[CLS]\nwalk\n##ing\n")
    tokenizer = WordPieceText.from_file(path, max_length=4)
    assert tokenizer.encode(["Walking walk"])[0].tolist() == [[3], [4], [3]]
    assert tokenizer.spec.codebook_size == 5
    with pytest.raises(ValueError, match=r"nothing.txt does not exist"):
        WordPieceText.from_file(tmp_path / "nothing.txt")


def test_a_folder_without_its_vocabulary_is_named(tmp_path):
    TOKENIZER.save(tmp_path)
    (tmp_path / "vocab.txt").unlink()
    with pytest.raises(ValueError, match="vocab.txt does not exist"):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize(("texts", "size", "message"), [([], 50, "no text"), (["abcdef"], 3, "vocab_size=3")])
def test_nothing_to_learn(texts, size, message):
    with pytest.raises(ValueError, match=message):
        WordPieceText.from_texts(texts, size)


@pytest.mark.parametrize("vocabulary", [["a", "b"], [UNKNOWN, "a", "a"]])
def test_bad_vocabularies(vocabulary):
    with pytest.raises(ValueError, match="vocabulary of"):
        WordPieceText(vocabulary)


def test_words_without_pieces_are_named(caplog: pytest.LogCaptureFixture) -> None:
    tokenizer = WordPieceText(["[UNK]", "a", "seven"])
    codes = tokenizer.encode(["a 日 seven"])
    assert codes[0][:, 0].tolist() == [1, 0, 2]
    assert "日" in caplog.text and "a seven" not in caplog.text
    caplog.clear()
    tokenizer.encode(["a seven"])
    assert not caplog.text
