"""What the README shows must run: its Python on the golden folder, its commands in the Makefile and the parser."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def python_block() -> str:
    (block,) = re.findall(r"```python\n(.*?)```", README, flags=re.S)
    return block


def test_python_block_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "runs" / "quickstart"
    folder.mkdir(parents=True)
    (folder / "model").symlink_to(ROOT / "tests" / "golden" / "format_v1")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(compile(python_block(), "README.md", "exec"), names)  # noqa: S102
    images, edited = names["images"], names["edited"]
    assert isinstance(images, torch.Tensor) and isinstance(edited, torch.Tensor)
    assert images.shape[:2] == (2, 1) and edited.shape == images.shape
    assert isinstance(names["read"], list) and len(names["read"]) == 2
    assert isinstance(names["features"], torch.Tensor) and names["features"].shape[0] == 2


def test_python_block_is_short() -> None:
    lines = [line for line in python_block().splitlines() if line.strip()]
    assert len(lines) <= 12


def test_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"^make (\w+)", README, flags=re.M)):
        assert re.search(rf"^{target}:", makefile, flags=re.M), target


def test_linked_files_exist() -> None:
    for link in re.findall(r"\]\(([^)#]+)\)", README):
        if not link.startswith("http"):
            assert (ROOT / link).exists(), link


def test_named_configs_exist() -> None:
    for path in re.findall(r"configs/[\w/.]+\.yaml", README):
        assert (ROOT / path).exists(), path
