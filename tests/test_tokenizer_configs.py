"""Every file of configs/tokenizer is understood, and makes a tokenizer that its folder can build again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from jsonargparse import ArgumentParser

from tokenizers_vq.contract import Tokenizer, load_tokenizer
from tokenizers_vq.contract.described import find_class, rebuild
from tokenizers_vq.training import TokenizerModule

CONFIGS = sorted((Path(__file__).parents[1] / "configs" / "tokenizer").glob("*.yaml"))

LARGE = ("maskgit", "beit2")


def read(path: Path) -> dict[str, Any]:
    told = yaml.safe_load(path.read_text())
    assert told["class_path"] == "tokenizers_vq.training.TokenizerModule"
    return told["init_args"]["tokenizer"]


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_it_says_command_and_number(path: Path) -> None:
    head = [line for line in path.read_text().splitlines() if line.startswith("#")]
    assert any("maskmm fit" in line or "Used by" in line for line in head)
    assert any(
        "Reached" in line or "Not run yet" in line or "has the command and the numbers" in line
        for line in head
    )


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_the_command_line_understands_it(path: Path) -> None:
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--model", type=TokenizerModule)
    parsed = parser.parse_object({"model": yaml.safe_load(path.read_text())})
    assert parsed.model.init_args.tokenizer.class_path == read(path)["class_path"]


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_it_makes_a_tokenizer(path: Path, tmp_path: Path) -> None:
    told = read(path)
    cls: Any = find_class(told["class_path"], Tokenizer)
    arguments = {name: value for name, value in told["init_args"].items() if name not in cls.training_only}
    if path.stem.startswith(LARGE):
        with torch.device("meta"):
            cls(**rebuild(arguments))
        return
    tokenizer = cls(**rebuild(arguments)).eval()
    tokenizer.save(tmp_path)
    assert load_tokenizer(tmp_path).config() == tokenizer.config()
