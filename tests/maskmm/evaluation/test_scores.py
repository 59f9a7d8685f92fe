import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from maskmm.evaluation.cost import cost_scores
from maskmm.evaluation.provenance import Provenance
from maskmm.evaluation.scores import Score, Scores, pool
from maskmm.evaluation.table import write_table

HERE = Provenance("maskmm quickstart", {"cores": 2}, {"torch": "2.11"})


def _share(name: str, hits: int, count: int, **fields: object) -> Score:
    return Score.of_share(name, np.arange(count) < hits, **fields)


def test_share_has_a_wilson_interval() -> None:
    score = _share("text -> image", 485, 500, floor=0.97, seeds=(0,))
    expected = stats.binomtest(485, 500).proportion_ci(method="wilson")
    assert score.value == 0.97
    assert score.interval == pytest.approx((expected.low, expected.high))
    assert score.is_met is True


@pytest.mark.parametrize(
    ("value", "floor", "limit", "is_met"),
    [
        (0.5, None, None, None),
        (0.5, 0.5, None, True),
        (0.49, 0.5, None, False),
        (0.1, 0.05, 0.15, True),
        (0.16, 0.05, 0.15, False),
        (0.04, 0.05, 0.15, False),
        (601.0, None, 600.0, False),
        (float("nan"), 0.5, None, False),
    ],
)
def test_is_met(value: float, floor: float | None, limit: float | None, is_met: bool | None) -> None:
    assert Score("x", value, 1, floor=floor, limit=limit).is_met is is_met


def test_pooled_shares_add_hits_and_counts() -> None:
    tables = [
        Scores((_share("a", hits, count, floor=0.9, ceiling=hits / 100, seeds=(seed,)),), HERE)
        for seed, (hits, count) in enumerate([(9, 10), (95, 100), (45, 50)])
    ]
    row = pool(tables, HERE)["a"]
    expected = stats.binomtest(149, 160).proportion_ci(method="wilson")
    assert (row.value, row.count, row.seeds) == (149 / 160, 160, (0, 1, 2))
    assert row.interval == pytest.approx((expected.low, expected.high))
    assert row.floor == pytest.approx(0.9)
    assert row.ceiling == pytest.approx((10 * 0.09 + 100 * 0.95 + 50 * 0.45) / 160)


def test_pooled_means_weigh_by_count_and_narrow_the_interval() -> None:
    tables = [
        Scores((Score("m", 1.0, 100, (0.9, 1.1)),), HERE),
        Scores((Score("m", 2.0, 300, (1.9, 2.1)),), HERE),
    ]
    row = pool(tables, HERE)["m"]
    half = np.hypot(0.25 * 0.1, 0.75 * 0.1)
    assert row.value == pytest.approx(1.75)
    assert row.interval == pytest.approx((1.75 - half, 1.75 + half))


def test_pooled_costs_take_the_largest() -> None:
    tables = [Scores(cost_scores(w, 2 * w, 10**9, (0,)), HERE) for w in (100.0, 700.0)]
    pooled = pool(tables, HERE)
    assert pooled["wall time (s)"].value == 700.0
    assert [row.name for row in pooled.missed] == ["wall time (s)"]
    assert pooled["peak memory (GB = 10^9 bytes)"].value == 1.0


def test_tables_with_other_rows_are_not_pooled() -> None:
    with pytest.raises(ValueError, match="'a'.*'b'"):
        pool([Scores((_share("a", 1, 2),), HERE), Scores((_share("b", 1, 2),), HERE)], HERE)
    with pytest.raises(ValueError, match="at least one"):
        pool([], HERE)


def test_names_are_unique() -> None:
    with pytest.raises(ValueError, match="'a'"):
        Scores((_share("a", 1, 2), _share("a", 2, 2)), HERE)


def test_file_round_trip(tmp_path: Path) -> None:
    rows = (_share("a", 1, 2, floor=0.9, seeds=(0,), note="how"), Score("b", 1.5, 7, seeds=(1,)))
    scores = Scores(rows, HERE, {"sizes": {"images": 3}})
    scores.write(tmp_path / "run" / "scores.json")
    assert Scores.read(tmp_path / "run" / "scores.json") == scores
    assert [p.name for p in (tmp_path / "run").iterdir()] == ["scores.json"]
    data = json.loads((tmp_path / "run" / "scores.json").read_text())
    assert data["seeds"] == [0, 1]
    assert data["command"] == "maskmm quickstart"
    assert data["rows"][0]["is_met"] is False
    assert data["rows"][0]["interval"] == pytest.approx(rows[0].interval)


def test_unreadable_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "scores.json"
    with pytest.raises(ValueError, match="scores.json"):
        Scores.read(path)
    path.write_text('{"format_version": 1, "rows": [')
    with pytest.raises(ValueError, match="not a scores file"):
        Scores.read(path)
    path.write_text('{"format_version": 99}')
    with pytest.raises(ValueError, match="format_version 99"):
        Scores.read(path)


def test_table_says_what_is_missed() -> None:
    stream = io.StringIO()
    rows = (
        _share("image -> text", 94, 100, floor=0.95, seeds=(3,)),
        Score("codes used", 0.8, 256, floor=0.6),
    )
    write_table(Scores(rows, HERE), stream)
    lines = stream.getvalue().splitlines()
    assert len(lines) == 4
    assert "0.940" in lines[1]
    assert "≥ 0.950" in lines[1]
    assert lines[1].rstrip().endswith("NO")
    assert lines[2].rstrip().endswith("yes")
    assert lines[3].startswith("1 of the figures")


def test_missing_names_say_what_there_is() -> None:
    with pytest.raises(KeyError, match="'a'"):
        Scores((_share("a", 1, 2),), HERE)["z"]


def test_provenance_names_machine_and_versions() -> None:
    here = Provenance.here("maskmm evaluate run")
    assert here.command == "maskmm evaluate run"
    assert int(here.hardware["cores"]) >= 1
    assert here.packages["torch"][0].isdigit()
    assert replace(here, command="x").command == "x"
