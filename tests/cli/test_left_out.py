"""The overlay that leaves masked rows out of the encoder: an ordinary fit, and what its config becomes."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from maskmm.cli.lightning import run_cli
from maskmm.masking.left_out import LeaveOutMasked
from maskmm.nn.light_decoder import LightDecoder
from tests.maskmm.training import write_toy_data

OVERLAY = Path(__file__).resolve().parents[2] / "configs" / "model" / "left_out.yaml"


def test_fit_with_the_overlay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sources = write_toy_data(tmp_path)
    monkeypatch.chdir(tmp_path)
    config = {
        "modalities": [{"name": s.name, "tokenizer": str(s.tokenizer)} for s in sources],
        "model": {
            "class_path": "maskmm.module.MaskedModule",
            "init_args": {
                "transformer": {"width": 24, "depth": 1, "attention": {"num_heads": 2}, "ffn": {"width": 16}}
            },
        },
        "data": {
            "class_path": "datamodules.tokens.PairedTokens",
            "init_args": {
                "store": "tokens",
                "batch_size": 4,
                "collate": {
                    "class_path": "maskmm.packing.Packer",
                    "init_args": {"masking": {"class_path": "maskmm.masking.any_to_any.AnyToAnyMasking"}},
                },
            },
        },
        "trainer": {"max_steps": 2, "accelerator": "cpu", "logger": False, "enable_progress_bar": False},
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    cli = run_cli(["fit", "-c", "config.yaml", "-c", str(OVERLAY)])
    decoder = cli.model.model.decoder
    assert isinstance(decoder, LightDecoder) and decoder.config.width == 96 and decoder.config.depth == 2
    assert isinstance(cli.datamodule.collate.masking, LeaveOutMasked)
    assert cli.trainer.global_step == 2
