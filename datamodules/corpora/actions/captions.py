"""Short captions of the actions, with sides and pace, and the parser that reads them back."""

from __future__ import annotations

import re
from typing import Literal, get_args

Pace = Literal["slow", "plain", "quick"]
PACES: tuple[Pace, ...] = get_args(Pace)

SLOW_BELOW, QUICK_ABOVE = 0.9, 1.12

_SUBJECTS = ("a person", "someone")
_ADVERBS = {"slow": " slowly", "plain": "", "quick": " quickly"}
_OTHER_SIDE = {"left": "right", "right": "left"}

# One phrase list for each thing that can be seen; a mirrored clip takes the phrases with the sides swapped.
_PHRASES: dict[str, tuple[str, str, str]] = {
    "walk": ("walks forward", "takes steps forward", "goes on foot"),
    "turn_left": ("turns left while walking", "walks and turns to the left", "walks in a curve to the left"),
    "dance": ("dances", "makes dance moves", "swings both arms and dances"),
    "run": ("runs forward", "runs ahead", "goes at a run"),
    "jump": ("jumps forward", "makes a jump", "leaps forward with both feet"),
    "kick_right": ("kicks with the right leg", "throws a right kick", "lifts the right foot for a kick"),
    "punch_right": ("punches with the right hand", "throws a right punch", "strikes with the right fist"),
    "spin_left": (
        "spins through the air to the left",
        "leaps and spins to the left",
        "jumps and twists to the left",
    ),
    "spinkick_right": (
        "spins and kicks with the right leg",
        "does a spinning kick with the right foot",
        "turns around for a high right kick",
    ),
    "roll": ("rolls forward", "does a forward roll", "rolls over on the ground"),
    "backflip": ("does a backflip", "flips over backwards", "turns a somersault backwards"),
    "cartwheel_left": (
        "does a cartwheel to the left",
        "turns a cartwheel to the left",
        "wheels on both hands to the left",
    ),
    "crawl": ("crawls forward", "crawls on the ground", "creeps along the ground"),
    "getup_facedown": (
        "gets up from the belly",
        "lies face down and gets up",
        "stands up from lying face down",
    ),
    "getup_faceup": ("gets up from the back", "lies face up and gets up", "stands up from lying face up"),
}


def swap_sides(text: str) -> str:
    """The text with the words "left" and "right" exchanged; words are parted by anything but letters."""
    return re.sub(r"(?<![a-z])(left|right)(?![a-z])", lambda word: _OTHER_SIDE[word[1]], text)


def _all_phrases() -> dict[str, tuple[str, ...]]:
    both = dict(_PHRASES)
    for label, phrases in _PHRASES.items():
        a, b, c = (swap_sides(phrase) for phrase in phrases)
        both.setdefault(swap_sides(label), (a, b, c))
    return {label: both[label] for label in sorted(both)}


_ALL = _all_phrases()

LABELS = tuple(_ALL)
"""What a caption can say, apart from the pace: the action, and the side where it has one."""

num_captions = len(_SUBJECTS) * 3
"""Captions of each label and pace."""


def caption(label: str, pace: Pace, index: int) -> str:
    """Caption `index` (0 to num_captions - 1) of a label and pace: lower case, at most 11 words.

    Raises:
        ValueError: an unknown label or pace, or an index out of range.
    """
    if label not in _ALL or pace not in PACES or not 0 <= index < num_captions:
        raise ValueError(
            f"caption({label!r}, {pace!r}, {index}): expected one of {', '.join(LABELS)}, one of {', '.join(PACES)} "
            f"and 0 to {num_captions - 1}"
        )
    subject, phrase = _SUBJECTS[index // 3], _ALL[label][index % 3]
    return f"{subject} {phrase}{_ADVERBS[pace]}"


def pace_of(speed: float) -> Pace:
    """The word for a speed: slow below 0.9, quick above 1.12 times the clip's own."""
    if speed < SLOW_BELOW:
        return "slow"
    return "quick" if speed > QUICK_ABOVE else "plain"


CAPTIONS = tuple(caption(label, pace, i) for label in LABELS for pace in PACES for i in range(num_captions))
"""Every caption: number `(label * 3 + pace) * num_captions + index`, label and pace by their places in the lists."""


def caption_id(label: str, pace: Pace, index: int) -> int:
    """Place of a caption in CAPTIONS."""
    return (LABELS.index(label) * len(PACES) + PACES.index(pace)) * num_captions + index


def parse_caption(text: str) -> tuple[str, Pace] | None:
    """Label and pace that a text tells; None unless it is exactly one of the captions."""
    if text not in CAPTIONS:
        return None
    place = CAPTIONS.index(text) // num_captions
    return LABELS[place // len(PACES)], PACES[place % len(PACES)]
