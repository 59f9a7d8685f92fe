"""The page that holds everything together."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

from maskmm.evaluation.scores import Score, Scores

_STYLE = """
body { font-family: sans-serif; max-width: 1200px; margin: 2em auto; padding: 0 1em; color: #222; }
img { max-width: 100%; } table { border-collapse: collapse; } td, th { padding: 0.2em 0.8em; text-align: left; }
tr:nth-child(even) { background: #f4f4f4; } td.no { color: #c00; font-weight: bold; } audio { height: 2em; }
"""


class Sound(NamedTuple):
    """One row of a table of sounds: what it is, and the file beside the page."""

    group: str
    text: str
    file: str


def page(pictures: Sequence[tuple[str, str]], sounds: Sequence[Sound], scores: Scores | None) -> str:
    """HTML of the gallery.

    Args:
        pictures: (title, file) of each picture.
        sounds: clips, in order; rows of one group stand together.
        scores: the table of figures, where there is one.
    """
    parts = [
        f"<h2>{escape(title)}</h2>\n<img src='{escape(file)}' alt='{escape(title)}'>"
        for title, file in pictures
    ]
    for group in dict.fromkeys(sound.group for sound in sounds):
        rows = "\n".join(_sound(sound) for sound in sounds if sound.group == group)
        parts.append(f"<h2>{escape(group)}</h2>\n<table>\n{rows}\n</table>")
    if scores is not None:
        parts.append(_table(scores))
    body = "\n".join(parts)
    return (
        f"<!DOCTYPE html>\n<html lang='en'><head><meta charset='utf-8'><title>maskmm gallery</title>\n"
        f"<style>{_STYLE}</style></head>\n<body>\n<h1>maskmm gallery</h1>\n"
        f"<p>Samples are the first of each digit, none selected. All speech is synthetic or generated.</p>\n{body}\n"
        "</body></html>\n"
    )


def _sound(sound: Sound) -> str:
    file = escape(sound.file)
    return (
        f"<tr><td>{escape(sound.text)}</td><td><audio controls preload='none' src='{file}'></audio></td>"
        f"<td><a href='{file}'>{file}</a></td></tr>"
    )


def _table(scores: Scores) -> str:
    names = ("figure", "value", "95 % interval", "n", "asked", "met", "note")
    head = "<tr>" + "".join(f"<th>{name}</th>" for name in names) + "</tr>"
    rows = "\n".join(_row(row) for row in scores)
    command = escape(scores.provenance.command)
    return f"<h2>Scores</h2>\n<p><code>{command}</code></p>\n<table>\n{head}\n{rows}\n</table>"


def _row(row: Score) -> str:
    interval = "" if row.interval is None else f"{row.interval[0]:.3f} to {row.interval[1]:.3f}"
    asked = "" if row.floor is None else f"at least {row.floor:.3f} "
    asked += "" if row.limit is None else f"at most {row.limit:.3f}"
    verdict = {None: "", True: "yes", False: "no"}[row.is_met]
    cells = (escape(row.name), f"{row.value:.3f}", interval, str(row.count), asked)
    return (
        "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + f"<td class='{verdict}'>{verdict}</td>"
        f"<td>{escape(row.note)}</td></tr>"
    )
