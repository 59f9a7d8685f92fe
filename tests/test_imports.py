"""The arrows between packages and inside maskmm, read from the source; what an import of maskmm loads; file sizes."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("maskmm", "tokenizers_vq", "datamodules")
# Lowest first; an import inside maskmm points to a lower group or to its own. A new module takes a place here.
LEVELS = (
    {"vocabulary"},
    {"schedules", "sequence", "rows", "ranking"},
    {"nn", "masking", "filling", "packing"},
    {"checkpoint", "model"},
    {"decoding", "features", "objectives", "scalar_mix"},
    {"module", "compiling", "callbacks", "optim", "sample_logger", "half_precision", "averages"},
    {"pipeline"},
    {"interop", "evaluation"},
    {"cli"},
)
LEVEL_OF = {name: level for level, names in enumerate(LEVELS) for name in names}
MAX_LINES = 450


def project_files(suffix: str = "") -> Iterator[Path]:
    """Every file that git would track, by the patterns of .gitignore, relative to the root."""
    patterns = [".git", *(ROOT / ".gitignore").read_text().split()]
    for folder, folders, files in os.walk(ROOT):
        here = Path(folder).relative_to(ROOT)
        folders[:] = [name for name in folders if not is_ignored(here / name, patterns)]
        for name in files:
            if name.endswith(suffix) and not is_ignored(here / name, patterns):
                yield here / name


def is_ignored(path: Path, patterns: list[str]) -> bool:
    """True where a pattern matches the name, or the whole path of an anchored pattern."""
    return any(
        fnmatch(str(path) if pattern.startswith("/") else path.name, pattern.strip("/"))
        for pattern in patterns
    )


def imports_of(path: Path) -> Iterator[str]:
    """Absolute dotted names that a file imports, at any depth; `from a import b` counts as a.b."""
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import; write the whole name"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def is_allowed(source: tuple[str, ...], target: tuple[str, ...]) -> bool:
    """May the module with these name parts import the other one?"""
    package = source[0]
    if target[0] not in PACKAGES:
        return True
    if target[0] == package == "maskmm":
        return (
            len(source) == 1 or len(target) == 1 or target[1] == "__version__" or is_downward(source, target)
        )
    if target[0] == package:
        return source[1:2] != ("contract",) or target[1] == "contract"
    if source[:2] == ("maskmm", "cli"):
        return True
    return target[:2] == ("tokenizers_vq", "contract")


def is_downward(source: tuple[str, ...], target: tuple[str, ...]) -> bool:
    """True where the target's group is no higher than the source's."""
    for name in (source[1], target[1]):
        assert name in LEVEL_OF, f"maskmm.{name} has no place in LEVELS of {Path(__file__).name}; give it one"
    return LEVEL_OF[target[1]] <= LEVEL_OF[source[1]]


@pytest.mark.parametrize("package", PACKAGES)
def test_arrows(package: str) -> None:
    wrong = []
    for path in project_files(".py"):
        parts = path.with_suffix("").parts
        if parts[0] == package:
            source = parts[:-1] if parts[-1] == "__init__" else parts
            wrong += [f"{path}: {t}" for t in imports_of(path) if not is_allowed(source, tuple(t.split(".")))]
    assert not wrong, "imports against the arrows:\n" + "\n".join(wrong)


@pytest.mark.parametrize(
    "source, target, allowed",
    [
        ("maskmm.decoding.orders", "maskmm.model", True),
        ("maskmm.model", "maskmm.decoding", False),
        ("maskmm.pipeline", "tokenizers_vq.contract.Key", True),
        ("maskmm.pipeline", "tokenizers_vq.text", False),
        ("maskmm.pipeline", "datamodules.media", False),
        ("maskmm.cli.generate", "datamodules.media", True),
        ("maskmm.cli.generate", "tokenizers_vq.text", True),
        ("datamodules.media", "tokenizers_vq.contract", True),
        ("datamodules.media", "tokenizers_vq.text", False),
        ("datamodules.media", "maskmm.packing", False),
        ("tokenizers_vq.text", "maskmm.nn", False),
        ("tokenizers_vq.text", "tokenizers_vq.layers", True),
        ("tokenizers_vq.contract.batch", "tokenizers_vq.layers", False),
        ("tokenizers_vq.contract.batch", "torch", True),
    ],
)
def test_the_rule_itself(source: str, target: str, allowed: bool) -> None:
    assert is_allowed(tuple(source.split(".")), tuple(target.split("."))) == allowed


@pytest.mark.parametrize("module", ["maskmm", "maskmm.cli.main"])
def test_import_loads_no_torch(module: str) -> None:
    code = f"import {module}, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_no_file_is_too_long() -> None:
    long = [str(p) for p in project_files(".py") if len((ROOT / p).read_text().splitlines()) > MAX_LINES]
    assert not long, f"over {MAX_LINES} lines: {long}"


def test_nothing_names_the_folder_beside_the_project() -> None:
    name = re.compile(rb"(?<![\w-])" + b"shared" + b"/")
    naming = [str(p) for p in project_files() if name.search((ROOT / p).read_bytes())]
    assert not naming, f"these files name a folder that no checkout has: {naming}"
