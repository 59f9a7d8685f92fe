"""The quickstart says at its start what is not installed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from maskmm.cli.main import main


@pytest.mark.parametrize("module", ["sklearn", "espeakng_loader", "pocketsphinx"])
def test_a_missing_package_is_missed_before_any_work(
    module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    assert main(["quickstart", "--toy", "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert module in error and 'pip install "maskmm[corpora]"' in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()
