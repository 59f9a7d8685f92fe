"""Markdown tables of rate-distortion rows: `python -m benchmarks.rate_distortion.table FILE.jsonl > FILE.md`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.table import listed, shared_values

_NOT_SHARED = ("medium", "corpus", "case", "is_ours", "failed")


def render(rows: list[dict[str, Any]]) -> str:
    """Runs one after the other: a file may hold the rows of several commands."""
    runs = dict.fromkeys(row.get("command") for row in rows)
    return "\n\n".join(_run([row for row in rows if row.get("command") == command]) for command in runs)


def _run(rows: list[dict[str, Any]]) -> str:
    """What all rows share in words, a table for each medium and corpus with the columns its rows have, failures."""
    numbers = {name for name, value in rows[0].items() if not isinstance(value, str)}
    shared = shared_values(rows, numbers.union(_NOT_SHARED))
    parts = [listed(shared)]
    shown = [name for name in rows[0] if name not in shared]
    shown += [name for row in rows for name in row if name not in rows[0]]
    for title in dict.fromkeys(_title(row) for row in rows if "failed" not in row):
        group = [row for row in rows if _title(row) == title and "failed" not in row]
        used = {name for row in group for name in row if row[name] is not None}
        columns = [name for name in dict.fromkeys(shown) if name in used and name not in ("medium", "corpus")]
        lines = [f"| {' | '.join(columns)} |", "|" + "---|" * len(columns)]
        lines += [f"| {' | '.join(_cell(row.get(name)) for name in columns)} |" for row in group]
        parts.append("\n".join([f"## {title}", "", *lines]))
    failed = [f"* {row['case']}: failed, {row['failed']}" for row in rows if "failed" in row]
    return "\n\n".join([*parts, *(["\n".join(failed)] if failed else [])])


def _title(row: dict[str, Any]) -> str:
    return ", ".join(row[name] for name in ("medium", "corpus") if row.get(name))


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) and abs(value) < 1 else f"{value}"


if __name__ == "__main__":
    print(render([json.loads(line) for line in Path(sys.argv[1]).read_text().splitlines()]))
