"""Markdown of the JSON lines of benchmarks.gpu: `python -m benchmarks.gpu_table FILE.jsonl > FILE.md`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.table import listed

_KERNEL = ("share", "ms_per_step", "calls_per_step", "group", "kernel")


def render(rows: list[dict[str, Any]]) -> str:
    """Conditions, one line a figure, then for each profiled step its kernels."""
    figures = [row for row in rows if not row["row"].startswith(("environment", "kernel, "))]
    kernels = [row for row in rows if row["row"].startswith("kernel, ")]
    told = [row for row in rows if row["row"] == "environment"]
    lines = [listed({name: value for name, value in row.items() if name != "row"}) for row in told]
    lines += ["", "| figure | values |", "|---|---|"]
    lines += [f"| {row['row']} | {_values(row)} |" for row in figures]
    for name in dict.fromkeys(row["row"] for row in kernels):
        lines += ["", f"{name.removeprefix('kernel, ')}, kernels by time:", ""]
        lines += [f"| {' | '.join(_KERNEL)} |", "|---|---|---|---|---|"]
        lines += [
            f"| {' | '.join(str(row[column]) for column in _KERNEL)} |"
            for row in kernels
            if row["row"] == name
        ]
    return "\n".join(lines)


def _values(row: dict[str, Any]) -> str:
    shown = {name: value for name, value in row.items() if name not in ("row", "at_s") and value is not None}
    return ", ".join(f"{name} {_short(value)}" for name, value in shown.items())


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) and abs(value) < 1 else str(value)


if __name__ == "__main__":
    print(render([json.loads(line) for line in Path(sys.argv[1]).read_text().splitlines()]))
