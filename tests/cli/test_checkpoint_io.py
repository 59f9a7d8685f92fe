"""Checkpoint files of `maskmm fit` are whole or absent."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from maskmm.cli.checkpoint_io import WholeCheckpoints


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "run" / "last.ckpt"
    for value in (1, 2):
        WholeCheckpoints().save_checkpoint({"step": value, "weights": torch.ones(3)}, path)
        assert WholeCheckpoints().load_checkpoint(path)["step"] == value
    assert [file.name for file in path.parent.iterdir()] == ["last.ckpt"]


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As from another disk, where moving copies: half of it is there when the disk is full."""

    def move(source: str, target: str) -> None:
        Path(target).write_bytes(Path(source).read_bytes()[:100])
        raise OSError(28, "No space left on device")

    path = tmp_path / "last.ckpt"
    WholeCheckpoints().save_checkpoint({"step": 1}, path)
    monkeypatch.setattr(shutil, "move", move)
    with pytest.raises(OSError, match="No space"):
        WholeCheckpoints().save_checkpoint({"step": 2}, path)
    assert WholeCheckpoints().load_checkpoint(path)["step"] == 1
    assert [file.name for file in tmp_path.iterdir()] == ["last.ckpt"]
