import pytest

from datamodules.corpora.digits.captions import caption, num_captions, parse_caption

ALL = [(digit, caption(digit, index)) for digit in range(10) for index in range(num_captions)]


def test_short_lower_case_and_unambiguous() -> None:
    assert num_captions >= 24
    assert len({text for _, text in ALL}) == len(ALL)
    for _, text in ALL:
        assert text == text.lower() and 1 <= len(text.split()) <= 10
        assert all(c.isalnum() or c == " " for c in text)


def test_parser_is_the_exact_inverse() -> None:
    assert all(parse_caption(text) == digit for digit, text in ALL)


@pytest.mark.parametrize(
    "text", ["a handwritten seven", "the digit 7", "this is the number seven", "7", "seven"]
)
def test_named_examples(text: str) -> None:
    assert parse_caption(text) == 7


@pytest.mark.parametrize(
    "text", ["", "seven seven", "a handwritten", "A handwritten seven", "a eight", "the digit 70", " 7"]
)
def test_outside_the_grammar(text: str) -> None:
    assert parse_caption(text) is None


def test_article_before_a_vowel() -> None:
    assert parse_caption("an eight") == 8
    assert parse_caption("this is an 8") == 8
    assert not any(" a eight" in f" {text}" or " a 8" in f" {text}" for _, text in ALL)


@pytest.mark.parametrize(("digit", "index"), [(10, 0), (-1, 0), (0, -1), (0, num_captions)])
def test_out_of_range(digit: int, index: int) -> None:
    with pytest.raises(ValueError, match="expected 0 to 9"):
        caption(digit, index)
