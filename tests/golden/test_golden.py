"""Folders of every format version so far still load and give what they gave."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import maskmm
from maskmm.checkpoint import FORMAT_VERSION

HERE = Path(__file__).parent
FOLDERS = sorted(HERE.glob("format_v*"))
TEXTS = ["a seven", "the digit two"]


def test_the_current_format_has_a_folder() -> None:
    assert HERE / f"format_v{FORMAT_VERSION}" in FOLDERS


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_golden_folder_gives_its_recorded_codes(folder: Path) -> None:
    pipeline = maskmm.load(folder)
    expected = load_file(folder / "expected.safetensors")
    settings = {"temperature": 0.0, "noise_temperature": 0.0, "length_temperature": 0.0}
    out = pipeline.generate({"text": TEXTS}, ["image", "speech"], **settings)
    assert out.settings["image"].num_steps == 4
    assert torch.equal(out.codes["image"], expected["image"].long())
    for index, codes in enumerate(out.codes["speech"]):
        assert torch.equal(codes, expected[f"speech.{index}"].long())
    features = pipeline.extract_features({"text": TEXTS})["text"]
    torch.testing.assert_close(features, expected["text.features"], atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_golden_folder_is_small_and_says_its_version(folder: Path) -> None:
    assert json.loads((folder / "config.json").read_text())["format_version"] == int(folder.name[8:])
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 200_000
