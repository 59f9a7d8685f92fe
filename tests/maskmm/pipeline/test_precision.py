"""int8 through the front doors: near float32, refused where it cannot be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from maskmm.checkpoint import save_checkpoint
from maskmm.cli.main import main
from maskmm.pipeline import load


def test_features_and_generation(toy_folder: Path, toy_media: dict[str, Any]) -> None:
    plain, fast = load(toy_folder), load(toy_folder, precision="int8")
    assert (plain.precision, fast.precision) == ("float32", "int8")
    wanted, found = (p.extract_features({"image": toy_media["image"]})["image"] for p in (plain, fast))
    assert not torch.equal(wanted, found)
    assert float(((wanted - found).norm(dim=1) / wanted.norm(dim=1)).max()) < 0.05
    out = fast.generate({"text": toy_media["text"]}, ["image"], num_steps=2)
    assert out["image"].shape == (5, 1, 8, 8)


def test_refusals(toy_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="precision='int4'"):
        load(toy_folder, precision="int4")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="precision='int8' on device='cuda'"):
        load(toy_folder, precision="int8", device="cuda")
    fast = load(toy_folder, precision="int8")
    with pytest.raises(ValueError, match="was quantized to int8"):
        save_checkpoint(tmp_path / "new", fast.model, fast.tokenizers)
    with pytest.raises(ValueError, match="was quantized to int8"):
        fast.to("meta")


def test_verbs_say_it_and_do_not_mix_it(toy_folder: Path, tmp_path: Path, capsys: Any) -> None:
    requests = tmp_path / "requests.jsonl"
    requests.write_text(json.dumps({"id": "a", "text": "a seven"}) + "\n")
    extract = ["extract", str(toy_folder), str(requests), "--out", str(tmp_path / "features")]
    assert main([*extract, "--precision", "int8"]) == 0
    assert json.loads((tmp_path / "features" / "manifest.json").read_text())["precision"] == "int8"
    assert main(extract) == 2
    assert "another precision" in capsys.readouterr().err
    generate = [
        "generate",
        str(toy_folder),
        "--text",
        "a seven",
        "--to",
        "image",
        "--out",
        str(tmp_path / "out"),
    ]
    assert main([*generate, "--precision", "int8"]) == 0
    lines = (tmp_path / "out" / "manifest.jsonl").read_text().splitlines()
    assert json.loads(lines[0])["precision"] == "int8"
