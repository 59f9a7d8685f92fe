"""Result files render, their tables are what was measured, and README's figures are theirs."""

from __future__ import annotations

import json
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from benchmarks.table import render

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results"
OF_TOKENIZERS = ("tokens", "codec")
FILES = [p for p in sorted(RESULTS.glob("*1-thread*.jsonl")) if not any(w in p.name for w in OF_TOKENIZERS)]
CONDITIONS = {"date", "hardware", "cpu_flags", "command", "commit", "torch"}

# A row of README's table -> theme, and cases whose figures it gives, in order.
README_ROWS = {
    "padded BertModel at 40 % fill": (
        "encoder",
        [
            f"mixed lengths, same weights, {size} T512, {kind}"
            for kind in ("forward", "training")
            for size in ("d256 L6", "d768 L12")
        ],
    ),
    "BertModel at full lengths": (
        "encoder",
        [
            f"full lengths, same weights, {size} T512, {kind}"
            for kind in ("forward", "training")
            for size in ("d256 L6", "d768 L12")
        ],
    ),
    "ModernBertModel at 512, 2048, 4096 tokens": (
        "modernbert",
        [f"ModernBERT's weights, d256 L6 T{n}, forward, both eager" for n in (512, 2048, 4096)],
    ),
    "BertForMaskedLM, training step": (
        "masked_lm",
        [f"masked-LM step, {size}, 32k codes, 15 % asked" for size in ("d256 L6 T128", "d768 L12 T512")],
    ),
    "nested nn.TransformerEncoder; x-transformers": (
        "other_encoders",
        [
            f"mixed lengths, d256 L6, forward, against {peer}"
            for peer in ("nn.TransformerEncoder, nested", "x-transformers, rotary and gated")
        ],
    ),
    "ModernBertModel, training step": (
        "memory",
        ["memory of a training step, mixed lengths, ModernBERT's weights, d768 L12"],
    ),
}


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_table_holds_the_rows_that_were_measured(path: Path) -> None:
    rows, text = rows_of(path), path.with_suffix(".md").read_text()
    assert all(set(row) >= CONDITIONS for row in rows)
    lines = [line for line in render(rows).splitlines() if line.startswith("| ")]
    assert len(lines) > 1 and [line for line in lines if line not in text] == []


@pytest.mark.parametrize("start", README_ROWS)
def test_figures_of_the_readme_are_those_of_result_files(start: str) -> None:
    theme, cases = README_ROWS[start]
    (line,) = (x for x in (ROOT / "README.md").read_text().splitlines() if x.startswith(f"| {start}"))
    (path,) = RESULTS.glob(f"{theme}_*.jsonl")
    values = {row["case"]: row["value"] for row in rows_of(path)}
    assert re.findall(r"\d+\.\d", line.split("|")[2]) == [f"{values[case]:.1f}" for case in cases]


def test_commands_of_the_documentation_exist() -> None:
    texts = [path.read_text() for path in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]]
    named = {name for text in texts for name in re.findall(r"python -m (benchmarks(?:\.\w+)+)", text)}
    assert len(named) > 10
    assert [name for name in named if find_spec(name) is None] == []
