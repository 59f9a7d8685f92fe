"""Exports to transformers: what it cannot say is refused, field by field; folders are whole or not there."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from maskmm.checkpoint import save_checkpoint
from maskmm.checkpoint.warm_start import WarmStart
from maskmm.cli.main import main
from maskmm.interop import export_transformers, from_transformers
from maskmm.module import MaskedModule
from maskmm.pipeline import Pipeline
from tests.maskmm.interop.conftest import bert_weights
from tokenizers_vq.contract import ModalitySource

Publish = Callable[..., Path]


def test_weights_come_back_to_the_bit(published: Publish, tmp_path: Path) -> None:
    export_transformers(from_transformers(published()), tmp_path / "out", "bert")
    weights, out = bert_weights(), load_file(tmp_path / "out" / "model.safetensors")
    assert out.keys() == {name for name in weights if "pooler" not in name}
    assert all(weights[name].equal(value) for name, value in out.items())
    settings = json.loads((tmp_path / "out" / "tokenizer_config.json").read_text())
    assert settings["mask_token"] == "[MASK]" and settings["model_max_length"] == 16
    assert json.loads((tmp_path / "out" / "config.json").read_text())["pad_token_id"] == 0


def test_what_cannot_be_exported(published: Publish, toy_pipeline: Pipeline, tmp_path: Path) -> None:
    pipeline = from_transformers(published())
    with pytest.raises(ValueError, match="architecture 'gpt2', expected one of"):
        export_transformers(pipeline, tmp_path / "out", "gpt2")
    with pytest.raises(ValueError, match=r"modernbert cannot express this model: .*norm.placement='post'"):
        export_transformers(pipeline, tmp_path / "out", "modernbert")
    with pytest.raises(ValueError, match=r"modalities \['image', 'text', 'speech'"):
        export_transformers(toy_pipeline, tmp_path / "out", "bert")
    with pytest.raises(ValueError, match="is not empty"):
        export_transformers(pipeline, published(), "bert")
    assert not (tmp_path / "out").exists()


def test_a_model_that_was_trained_on_goes_back(published: Publish, tmp_path: Path) -> None:
    pipeline = from_transformers(published())
    save_checkpoint(tmp_path / "ours", pipeline.model, pipeline.tokenizers)
    sources = [ModalitySource("text", str(tmp_path / "ours" / "tokenizers" / "text"))]
    module = MaskedModule(sources, warm_start=WarmStart(str(tmp_path / "ours")))
    assert module.vocabulary.names == ("text", "text.length")
    with torch.no_grad():
        module.model.embedding.codes.weight[module.vocabulary.slice("text", 0)] += 1
    export_transformers(Pipeline(module.model, pipeline.tokenizers), tmp_path / "out", "bert")
    weights, out = bert_weights(), load_file(tmp_path / "out" / "model.safetensors")
    words = "bert.embeddings.word_embeddings.weight"
    assert torch.equal(out[words], weights[words] + 1)
    assert all(weights[name].equal(value) for name, value in out.items() if name != words)


def test_the_commands(published: Publish, tmp_path: Path, capsys) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    assert main(["import", str(published()), "--out", str(ours)]) == 0
    out = capsys.readouterr().out
    assert (
        "34 weights loaded, 0 new, 2 ignored" in out
        and "ignored: pooler.dense.bias, pooler.dense.weight" in out
    )
    assert main(["doctor", str(ours)]) == 0
    assert "different of 16 samples" in capsys.readouterr().out
    assert main(["export", str(ours), "--format", "bert", "--out", str(theirs)]) == 0
    assert load_file(theirs / "model.safetensors").keys() == {n for n in bert_weights() if "pooler" not in n}
    assert main(["export", str(ours), "--format", "bert", "--out", str(tmp_path / "b"), "--config", "c"]) == 2
    assert "--config is of no use with --format bert" in capsys.readouterr().err
    assert main(["import", str(published(model_type="gpt2")), "--out", str(tmp_path / "c")]) == 2
    assert "maskmm: error: " in capsys.readouterr().err
    assert not (tmp_path / "c").exists()
