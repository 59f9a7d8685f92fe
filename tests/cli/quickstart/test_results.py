"""The table at the end: costs of one seed, several seeds pooled."""

from __future__ import annotations

from pathlib import Path

import pytest

from maskmm.cli.quickstart.resources import Cost
from maskmm.cli.quickstart.results import EVALUATION, POOLED, SCORES, show, write_scores
from maskmm.cli.quickstart.stage import Receipt
from maskmm.evaluation.provenance import Provenance
from maskmm.evaluation.scores import Score, Scores

HERE = Provenance("maskmm quickstart", {}, {})


def finish(folder: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.mkdir()
    monkeypatch.chdir(folder)
    is_right = [True] * 9 + [False] * (1 + seed)
    Scores((Score.of_share("reads", is_right, seeds=(seed,)),), HERE).write(EVALUATION)
    receipts = [Receipt("a", "", Cost(10.0, 15.0, 100), 1), Receipt("b", "", Cost(20.0, 30.0, 50), 2)]
    write_scores(receipts, Cost(5.0, 6.0, 70), seed)


def test_costs_of_all_stages_join_the_scores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    finish(tmp_path / "run", 0, monkeypatch)
    scores = Scores.read(tmp_path / "run" / SCORES)
    assert scores["wall time (s)"].value == 35.0 and scores["CPU time (s)"].value == 51.0
    assert scores["peak memory (GB = 10^9 bytes)"].value == 1e-7
    assert "interrupted" in scores["wall time (s)"].note
    assert scores.settings["stages"]["b"]["num_starts"] == 2


def test_several_seeds_are_pooled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = [tmp_path / f"seed_{seed}" for seed in (0, 1)]
    for seed, folder in enumerate(folders):
        finish(folder, seed, monkeypatch)
    show(folders[:1], tmp_path)
    assert not (tmp_path / POOLED).exists()
    show(folders, tmp_path)
    pooled = Scores.read(tmp_path / POOLED)["reads"]
    assert pooled.seeds == (0, 1) and pooled.count == 21 and pooled.value == 18 / 21
    assert "reads" in capsys.readouterr().out
