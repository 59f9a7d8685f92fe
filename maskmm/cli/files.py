"""Files that a user names."""

from __future__ import annotations

from pathlib import Path


def check_file(path: Path, expected: str) -> None:
    """Raise ValueError unless `path` is a file; `expected` says in the error what to give."""
    if not path.is_file():
        problem = "is a folder" if path.is_dir() else "does not exist"
        raise ValueError(f"{path} {problem}; expected {expected}")
