"""Markdown table of the JSON lines of a benchmark: `python -m benchmarks.table FILE.jsonl > FILE.md`."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

_HEADER = (
    "| case | work | median [min, max] | unit | goal | reached | of GEMM | ours ms | peer ms | ours MiB | peer MiB |",
    "|---|---|---|---|---|---|---|---|---|---|---|",
)
_COLUMNS = (
    *("case", "work", "unit", "value", "value_min", "value_max", "goal", "is_reached", "rounds", "gate"),
    *("is_gate_kept", "floor_share", "ours_ms", "peer_ms", "ours_peak_mib", "peer_peak_mib"),
    *("largest_difference", "relative_error"),
)
_WITHOUT_NUMBER = ("skipped", "failed")


def render(rows: list[dict[str, Any]]) -> str:
    """The conditions that all rows share, one line a measured row, then what was skipped or failed and why."""
    measured = [row for row in rows if not any(word in row for word in _WITHOUT_NUMBER)]
    reasons = [
        f"* {row['case']}: {word}, {row[word]}" for row in rows for word in _WITHOUT_NUMBER if word in row
    ]
    told = listed(shared_values(rows, (*_COLUMNS, *_WITHOUT_NUMBER)))
    return "\n".join([told, "", *_HEADER, *map(_line, measured), "", *reasons]).rstrip()


def shared_values(rows: list[dict[str, Any]], leave_out: Collection[str]) -> dict[str, Any]:
    """What all rows share, but for the columns to leave out."""
    shared = set.intersection(*(set(row.items()) for row in rows))
    return {
        name: value for name, value in rows[0].items() if (name, value) in shared and name not in leave_out
    }


def listed(values: Mapping[str, Any]) -> str:
    """One line "* name: value" each."""
    return "\n".join(f"* {name}: {value}" for name, value in values.items())


def _line(row: dict[str, Any]) -> str:
    reached = "yes" if row["is_reached"] else "**no**"
    cells = [
        row["case"],
        row["work"],
        f"{row['value']:.2f} [{row['value_min']:.2f}, {row['value_max']:.2f}]",
        row["unit"],
        str(row["goal"]),
        reached,
        _number(row.get("floor_share"), 2),
        _number(row.get("ours_ms"), 2),
        _number(row.get("peer_ms"), 2),
        _number(row.get("ours_peak_mib"), 0),
        _number(row.get("peer_peak_mib"), 0),
    ]
    return f"| {' | '.join(cells)} |"


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


if __name__ == "__main__":
    print(render([json.loads(line) for line in Path(sys.argv[1]).read_text().splitlines()]))
