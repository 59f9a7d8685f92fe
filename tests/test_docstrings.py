"""Every public module, class and function of the three packages says what it is for (read without importing)."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
Named = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def public_definitions(body: list[ast.stmt]) -> Iterator[Named]:
    """Public classes, functions and methods; not what lies inside a function or a private class."""
    for node in body:
        if isinstance(node, Named) and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef):
                yield from public_definitions(node.body)


def is_setter_or_overload(node: Named) -> bool:
    """A setter is described by its property, an overload by the function."""
    names = {ast.unparse(d).rsplit(".", 1)[-1] for d in node.decorator_list}
    return bool(names & {"setter", "overload", "override"})


@pytest.mark.parametrize("package", ["maskmm", "tokenizers_vq", "datamodules"])
def test_public_names_have_docstrings(package: str) -> None:
    missing = []
    for path in sorted((ROOT / package).rglob("*.py")):
        tree = ast.parse(path.read_text())
        if not ast.get_docstring(tree):
            missing.append(f"{path.relative_to(ROOT)}: module")
        missing += [
            f"{path.relative_to(ROOT)}:{node.lineno}: {node.name}"
            for node in public_definitions(tree.body)
            if not ast.get_docstring(node) and not is_setter_or_overload(node)
        ]
    assert not missing, "no docstring:\n" + "\n".join(missing)
