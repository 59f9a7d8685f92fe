"""Captions of digits that move, and the parser that reads them back."""

from __future__ import annotations

from datamodules.corpora.digits.captions import WORDS

DIRECTIONS: dict[str, tuple[int, int]] = {
    "to the right": (1, 0),
    "up and to the right": (1, -1),
    "up": (0, -1),
    "up and to the left": (-1, -1),
    "to the left": (-1, 0),
    "down and to the left": (-1, 1),
    "down": (0, 1),
    "down and to the right": (1, 1),
}
"""Words of a direction -> pixels to the right and down."""

NAMES = tuple(DIRECTIONS)
_SUBJECTS = ("a {word}", "a handwritten {word}", "the digit {word}", "the number {numeral}")
_VERBS = ("moves", "slides", "drifts", "goes")

num_captions = len(_SUBJECTS) * len(_VERBS)
"""Captions of each digit and direction."""


def moving_caption(digit: int, direction: int, index: int) -> str:
    """Caption `index` (0 to num_captions - 1) of a digit that moves: lower case, at most 9 words.

    Args:
        digit: 0 to 9.
        direction: place in NAMES.
        index: which wording.

    Raises:
        ValueError: a digit, direction or index out of range.
    """
    if not 0 <= digit <= 9 or not 0 <= direction < len(NAMES) or not 0 <= index < num_captions:
        raise ValueError(
            f"moving_caption({digit}, {direction}, {index}): expected 0 to 9, 0 to {len(NAMES) - 1} and "
            f"0 to {num_captions - 1}"
        )
    subject = _SUBJECTS[index // len(_VERBS)].format(word=WORDS[digit], numeral=digit)
    if subject == "a eight":  # no other digit begins with a vowel sound
        subject = "an eight"
    return f"{subject} {_VERBS[index % len(_VERBS)]} {NAMES[direction]}"


_MEANING = {
    moving_caption(digit, direction, index): (digit, direction)
    for digit in range(10)
    for direction in range(len(NAMES))
    for index in range(num_captions)
}


def parse_moving_caption(text: str) -> tuple[int, int] | None:
    """Digit and direction that a text tells; None unless it is exactly one of the captions."""
    return _MEANING.get(text)
