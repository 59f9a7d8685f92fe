"""Caption files: one description a line, some of them of a part of the motion."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple


class Caption(NamedTuple):
    """What somebody wrote about a motion.

    Attributes:
        text: the description.
        start: first second that it speaks of.
        stop: second that it ends before; None where it speaks of the whole motion.
    """

    text: str
    start: float = 0.0
    stop: float | None = None


def read_captions(path: Path) -> list[Caption]:
    """Captions of a file: lines "text#tagged words#from#to" or "text#tagged words" or "text".

    Seconds that are both 0 stand for the whole motion; a second that is "nan" counts as 0, as in the dataset's own
    code. The tagged words are left out. Empty lines are skipped.

    Raises:
        ValueError: no readable file or no caption in it; a line of another form, by its number.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no readable caption file ({error})") from error
    found = [_caption(line, f"{path}, line {number}") for number, line in enumerate(lines, 1) if line.strip()]
    if not found:
        raise ValueError(f"{path} holds no caption, expected at least one line")
    return found


def _caption(line: str, where: str) -> Caption:
    text, *rest = line.split("#")
    text = text.strip()
    if not text:
        raise ValueError(f"{where}: {line!r} has no text before its first '#', expected a description")
    if len(rest) not in (0, 1, 3):
        raise ValueError(
            f"{where}: {line!r} has {len(rest) + 1} fields, expected text#tagged words#from#to, text#tagged words or "
            "text"
        )
    if len(rest) < 3:
        return Caption(text)
    start, stop = (_seconds(field, where) for field in rest[1:])
    if start == 0.0 and stop == 0.0:
        return Caption(text)
    if not 0.0 <= start < stop:
        raise ValueError(f"{where}: from {start:g} to {stop:g} s, expected 0 <= from < to, or both 0")
    return Caption(text, start, stop)


def _seconds(field: str, where: str) -> float:
    try:
        value = float(field)
    except ValueError as error:
        raise ValueError(f"{where}: {field!r} is no number of seconds") from error
    if math.isinf(value):
        raise ValueError(f"{where}: {field!r} seconds, expected a finite number")
    return 0.0 if math.isnan(value) else value
