"""Settings of the quickstart: overlays, errors, and what a fit depends on."""

from __future__ import annotations

from pathlib import Path

import pytest

from maskmm.cli.quickstart.chain import stages
from maskmm.cli.quickstart.resources import Cost
from maskmm.cli.quickstart.settings import FULL, TOY, QuickstartSettings, config_contents


def test_toy_lies_over_the_full_settings() -> None:
    full, toy = QuickstartSettings.read([FULL]), QuickstartSettings.read([FULL, TOY])
    assert toy.vocab_size == full.vocab_size
    assert toy.num_views < full.num_views and toy.sizes.text_to_image < full.sizes.text_to_image
    assert toy.model[: len(full.model)] == full.model


@pytest.mark.parametrize(("text", "named"), [("num_viewz: 2", "num_viewz"), ("num_views: many", "many")])
def test_a_typo_is_named(tmp_path: Path, text: str, named: str) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(ValueError, match=named):
        QuickstartSettings.read([FULL, str(tmp_path / "mine.yaml")])


def test_a_fit_depends_on_what_its_configs_say_but_not_on_comments(tmp_path: Path) -> None:
    group, config = tmp_path / "group.yaml", tmp_path / "fit.yaml"
    group.write_text("class_path: a.B\n")
    config.write_text("model: group.yaml\ntrainer: {max_steps: 3}\n")
    before = config_contents([str(config)])
    assert before == [{"model": {"class_path": "a.B"}, "trainer": {"max_steps": 3}}]
    config.write_text("# reached 0.97\nmodel: group.yaml\ntrainer: {max_steps: 3}\n")
    assert config_contents([str(config)]) == before
    group.write_text("class_path: a.C\n")
    assert config_contents([str(config)]) != before


def test_stages_of_two_seeds_differ_from_the_first_on() -> None:
    settings = QuickstartSettings.read([FULL, TOY])
    first, second = (stages(settings, seed, Cost()) for seed in (0, 1))
    assert [stage.name for stage in first] == [stage.name for stage in second]
    assert first[0].settings != second[0].settings
    assert len({stage.name for stage in first}) == len(first)
