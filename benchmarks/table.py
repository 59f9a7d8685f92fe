"""Markdown table of the JSON lines of a benchmark: `python -m benchmarks.table FILE.jsonl > FILE.md`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

_NOT_CONDITIONS = ("case", "work", "ratio", "ratio_min", "ratio_max", "goal", "is_reached")


def render(rows: list[dict]) -> str:
    """One line a row, and before them the conditions that all rows share."""
    shared = {
        name: value
        for name, value in rows[0].items()
        if name not in _NOT_CONDITIONS and all(row[name] == value for row in rows)
    }
    lines = [f"* {name}: {value}" for name, value in shared.items()]
    lines += [
        "",
        "| case | work | times as fast, median [min, max] | goal | reached | ours ms | peer ms | ours MiB | peer MiB |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        spread = f"{row['ratio']:.2f} [{row['ratio_min']:.2f}, {row['ratio_max']:.2f}]"
        reached = "yes" if row["is_reached"] else "**no**"
        times = f"{row['ours_ms']:.2f} | {row['peer_ms']:.2f}"
        peaks = f"{row['ours_peak_mib']:.0f} | {row['peer_peak_mib']:.0f}"
        lines.append(
            f"| {row['case']} | {row['work']} | {spread} | {row['goal']} | {reached} | {times} | {peaks} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    print(render([json.loads(line) for line in Path(sys.argv[1]).read_text().splitlines()]))
