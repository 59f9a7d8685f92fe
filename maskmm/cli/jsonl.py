"""JSONL files as users write them: errors name the file and the line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from maskmm.cli.files import check_file


def read_jsonl(path: Path) -> Iterator[tuple[str, int, Any]]:
    """The values of a file with one JSON value a line; empty lines are skipped.

    Yields:
        "FILE, line N" (from 1) for errors, the line's number from 0, its value.

    Raises:
        ValueError: no such file, not UTF-8, or a line that is no JSON.
    """
    check_file(path, "a .jsonl file with one JSON object a line")
    try:
        # Not splitlines: JSON strings may hold U+2028 and its like.
        lines = path.read_text(encoding="utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text ({error}); expected one JSON object a line") from error
    for number, line in enumerate(lines):
        if not line.strip():
            continue
        where = f"{path}, line {number + 1}"
        try:
            yield where, number, json.loads(line)
        except json.JSONDecodeError as error:
            raise ValueError(
                f"{where}: {line[:80]!r} is no JSON ({error.msg}, column {error.colno})"
            ) from error
