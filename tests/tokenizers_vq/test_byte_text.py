import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenizers_vq.byte_text import ByteText

TOKENIZER = ByteText(max_length=400)


def test_codes_are_those_of_byt5():
    byt5 = pytest.importorskip("transformers").ByT5Tokenizer()
    texts = ["A small cat.", "Ölfarbe, 猫 🐈‍⬛", "\ttabs\nand lines "]
    for text, codes in zip(texts, TOKENIZER.encode(texts)):
        assert codes[:, 0].tolist() == byt5(text, add_special_tokens=False)["input_ids"]
        assert TOKENIZER.decode([codes]) == [byt5.decode(codes[:, 0])] == [text]


@settings(max_examples=50, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=100))
def test_every_text_comes_back(text):
    assert TOKENIZER.decode(TOKENIZER.encode([text])) == [text]


def test_special_codes_are_left_out_and_broken_characters_shown():
    codes = torch.tensor([0, ord("a") + 3, 0xC3 + 3, 1, 2])[:, None]
    assert TOKENIZER.decode([codes]) == ["a\ufffd"]


def test_words_begin_with_their_space():
    assert TOKENIZER.groups(["an ox"])[0].tolist() == [0, 0, 1, 1, 1]
    assert TOKENIZER.groups([" é"])[0].tolist() == [0, 0, 0]


@pytest.mark.parametrize("wrong", ["text", [""], ["x" * 401], ["\ud800"], [3]])
def test_bad_texts_are_refused(wrong):
    with pytest.raises(ValueError, match="expected"):
        TOKENIZER.encode(wrong)
