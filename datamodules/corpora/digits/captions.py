"""Short captions of a digit, in words and in numerals, and the parser that reads them back."""

from __future__ import annotations

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

_WORD_TEMPLATES = (
    "{}",
    "a {}",
    "the digit {}",
    "the number {}",
    "a handwritten {}",
    "the figure {}",
    "this is a {}",
    "this is the number {}",
    "this is the digit {}",
    "a picture of a {}",
    "an image of a {}",
    "a drawing of the number {}",
    "a scan of a handwritten {}",
    "somebody wrote a {}",
    "someone wrote the number {}",
    "the number {} written by hand",
    "a {} in ink",
    "one can read a {} here",
)
_NUMERAL_TEMPLATES = (
    "{}",
    "the digit {}",
    "the number {}",
    "a handwritten {}",
    "this is the number {}",
    "this is a {}",
    "a picture of the digit {}",
    "an image showing the number {}",
    "the number {} written by hand",
    "it says {}",
)


def _fill(template: str, digit: int, name: str) -> str:
    # "an eight", "an 8"; no other digit begins with a vowel sound ("a one").
    return (template.replace("a {}", "an {}") if digit == 8 else template).format(name)


def _all_captions(digit: int) -> tuple[str, ...]:
    words = tuple(_fill(t, digit, WORDS[digit]) for t in _WORD_TEMPLATES)
    return words + tuple(_fill(t, digit, str(digit)) for t in _NUMERAL_TEMPLATES)


_CAPTIONS = tuple(_all_captions(digit) for digit in range(10))
_DIGIT_OF = {text: digit for digit, texts in enumerate(_CAPTIONS) for text in texts}

num_captions = len(_CAPTIONS[0])
"""Captions of each digit."""


def caption(digit: int, index: int) -> str:
    """Caption `index` (0 to num_captions - 1) of a digit (0 to 9): lower case, at most 10 words.

    Raises:
        ValueError: a digit or an index out of range.
    """
    if not 0 <= digit <= 9 or not 0 <= index < num_captions:
        raise ValueError(f"caption({digit}, {index}): expected 0 to 9 and 0 to {num_captions - 1}")
    return _CAPTIONS[digit][index]


def parse_caption(text: str) -> int | None:
    """The digit that a text names; None unless the text is exactly one of the captions."""
    return _DIGIT_OF.get(text)
