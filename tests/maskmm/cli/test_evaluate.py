"""`maskmm evaluate` hands a checkpoint and a corpus to the evaluation, and writes what it says."""

from __future__ import annotations

import pytest

import maskmm.evaluation.digits
from maskmm.cli.main import main
from maskmm.cli.quickstart.settings import FULL, QuickstartSettings
from maskmm.evaluation.provenance import Provenance
from maskmm.evaluation.scores import Score, Scores


def test_scores_are_shown_and_written(toy_folder, tmp_path, capsys, monkeypatch) -> None:
    asked = {}

    def evaluate(pipeline, corpus, captions, seed, sizes, directions):
        asked.update(corpus_seed=corpus.seed, caption=captions.caption(7, 0), sizes=sizes)
        asked.update(hash=pipeline.sha256, directions=directions)
        row = Score.of_share("text -> image", [True, False], seeds=(seed,))
        return Scores((row,), Provenance("maskmm evaluate", {}, {})), None

    monkeypatch.setattr(maskmm.evaluation.digits, "evaluate_digits", evaluate)
    out = tmp_path / "scores.json"
    options = ["--seed", "2", "--num-samples", "20", "--num-held-out", "30", "--out", str(out)]
    assert main(["evaluate", str(toy_folder), *options]) == 0
    shown = capsys.readouterr().out
    assert "text -> image" in shown and str(out) in shown
    assert Scores.read(out)["text -> image"].seeds == (2,)
    assert asked["corpus_seed"] == 2 and asked["caption"] and len(asked["hash"]) == 64
    assert asked["sizes"].unconditional == 20 and asked["sizes"].held_out == 30
    # As the quickstart generates, with the layers that this shallow model has.
    quickstart = QuickstartSettings.read([FULL]).directions
    assert asked["directions"].unconditional == quickstart.unconditional
    assert (-1,) in asked["directions"].probe_layers and (3,) not in asked["directions"].probe_layers


@pytest.mark.parametrize(
    ("options", "least"),
    [(["--num-samples", "3"], 10), (["--num-samples", "10"], 20), (["--num-held-out", "0"], 10)],
)
def test_too_few_samples(toy_folder, capsys, options, least) -> None:
    assert main(["evaluate", str(toy_folder), *options]) == 2
    assert f"expected at least {least}" in capsys.readouterr().err
