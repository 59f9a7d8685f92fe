"""A table of scores for people to read."""

from __future__ import annotations

from typing import TextIO

from rich.console import Console
from rich.table import Table

from maskmm.evaluation.scores import Score, Scores

_VERDICT = {True: "yes", False: "NO", None: ""}
_WIDTH = 120


def write_table(scores: Scores, stream: TextIO) -> None:
    """Write one line a figure: value, 95 % interval, sample count, what was asked, and whether it holds."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("figure", overflow="fold", min_width=30)
    for heading in ("value", "95 % interval", "n", "asked", "goal", "real media", "met"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in scores:
        interval = "" if row.interval is None else f"{_number(row.interval[0])} to {_number(row.interval[1])}"
        table.add_row(
            row.name,
            _number(row.value),
            interval,
            str(row.count),
            _asked(row),
            _number(row.goal),
            _number(row.ceiling),
            _VERDICT[row.is_met],
            style="bold red" if row.is_met is False else None,
        )
    # A file or a pipe has no width of its own.
    console = Console(file=stream, width=None if stream.isatty() else _WIDTH, highlight=False)
    console.print(table)
    seeds = sorted({seed for row in scores for seed in row.seeds})
    console.print(f"{len(scores.missed)} of the figures asked for are not met; seeds {seeds}", style="dim")


def _asked(row: Score) -> str:
    parts = [
        ("" if row.floor is None else f"≥ {_number(row.floor)}"),
        ("" if row.limit is None else f"≤ {_number(row.limit)}"),
    ]
    return " ".join(part for part in parts if part)


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"
