"""Real Lightning checkpoints, with and without averaged weights, to folders."""

from __future__ import annotations

import argparse
from pathlib import Path

import lightning
import pytest
import torch
import yaml
from lightning.pytorch.callbacks import EMAWeightAveraging, ModelCheckpoint

from maskmm.checkpoint import load_checkpoint
from maskmm.cli import export
from maskmm.interop.lightning_checkpoint import export_lightning, export_tokenizer, read_lightning
from maskmm.model import TransformerConfig
from maskmm.module import MaskedModule
from maskmm.nn.config import AttentionConfig, FeedForwardConfig
from tokenizers_vq.contract import ModalitySource, load_tokenizer
from tokenizers_vq.image import ImageVQ
from tokenizers_vq.quantizers import CosineVQ
from tokenizers_vq.training import TokenizerModule
from tokenizers_vq.vision import VQKD

TINY = TransformerConfig(
    width=16, depth=1, attention=AttentionConfig(num_heads=2), ffn=FeedForwardConfig(width=16)
)


class Toy(MaskedModule):
    """A loss that moves every weight, so that averaged and current ones differ."""

    def training_step(self, batch, batch_idx):
        return sum(p.square().sum() for p in self.model.parameters())


def fit(module: lightning.LightningModule, folder: Path, callbacks: list) -> Path:
    path = folder / "checkpoints" / "last.ckpt"
    saver = ModelCheckpoint(path.parent, filename="last", every_n_train_steps=2)
    trainer = lightning.Trainer(
        max_steps=2, callbacks=[*callbacks, saver], logger=False, accelerator="cpu", default_root_dir=folder,
        enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(module, [torch.zeros(1)] * 2)
    return path


@pytest.fixture
def sources(toy_tokenizers, tmp_path) -> list[ModalitySource]:
    for name, tokenizer in toy_tokenizers.items():
        tokenizer.save(tmp_path / "tokenizers" / name)
    return [ModalitySource(name, str(tmp_path / "tokenizers" / name)) for name in toy_tokenizers]


def weight(folder: Path) -> torch.Tensor:
    return load_checkpoint(folder).models["main"].embedding.codes.weight


def test_averaged_weights_are_exported(sources, tmp_path) -> None:
    path = fit(Toy(sources, TINY), tmp_path / "run", [EMAWeightAveraging(use_buffers=False, decay=0.5)])
    export_lightning(path, tmp_path / "out", generation_defaults={"image": {"num_steps": 2}})
    checkpoint = read_lightning(path)
    average = checkpoint["state_dict"]["model.embedding.codes.weight"]
    assert not torch.equal(average, checkpoint["current_model_state"]["model.embedding.codes.weight"])
    assert torch.equal(weight(tmp_path / "out"), average)
    assert load_checkpoint(tmp_path / "out").generation == {"image": {"num_steps": 2}}


def test_an_average_that_never_began_is_not_exported(sources, tmp_path, caplog) -> None:
    late = EMAWeightAveraging(use_buffers=False, decay=0.5, update_starting_at_step=100)
    path = fit(Toy(sources, TINY), tmp_path / "run", [late])
    export_lightning(path, tmp_path / "out")
    current = read_lightning(path)["current_model_state"]["model.embedding.codes.weight"]
    assert torch.equal(weight(tmp_path / "out"), current)
    assert "never updated" in caplog.text


def test_a_tokenizer_trained_anew_since_is_refused(tmp_path, caplog) -> None:
    folder = tmp_path / "tokenizer"
    tokenizer = ImageVQ(image_size=16, width=8, codebook_size=16, code_dim=4)
    tokenizer.save(folder)
    path = fit(Toy([ModalitySource("image", str(folder))], TINY), tmp_path / "run", [])
    with torch.no_grad():
        next(tokenizer.parameters()).add_(1.0)
    tokenizer.save(folder)
    with pytest.raises(ValueError, match="trained on codes of the 'image' tokenizer"):
        export_lightning(path, tmp_path / "refused")
    export_lightning(path, tmp_path / "asked", {"image": folder})
    assert "which was asked for" in caplog.text


def test_plain_weights_through_the_verb(sources, toy_tokenizers, tmp_path, capsys) -> None:
    path = fit(Toy(sources, TINY), tmp_path / "run", [])
    (tmp_path / "tokenizers" / "text").rename(tmp_path / "moved")
    assert run(path, tmp_path / "out", f"--tokenizer=text={tmp_path / 'moved'}") == 0
    assert capsys.readouterr().out == f"{tmp_path / 'out'}\n"
    checkpoint = load_checkpoint(tmp_path / "out")
    assert checkpoint.tokenizers["text"].fingerprint() == toy_tokenizers["text"].fingerprint()
    assert checkpoint.models["main"].config == TINY


def run(path: Path, out: Path, *options: str) -> int:
    parser = argparse.ArgumentParser()
    export.add_arguments(parser)
    return export.run(parser.parse_args([str(path), "--out", str(out), *options]))


def test_a_trained_tokenizer_through_the_verb(tmp_path) -> None:
    arguments = {"image_size": 8, "width": 8, "codebook_size": 4, "code_dim": 4, "num_blocks": 1}

    class Quick(TokenizerModule):
        def training_step(self, batch, batch_idx):
            return sum(p.square().sum() for p in self.tokenizer.parameters())

    module = Quick(ImageVQ(**arguments))
    path = fit(module, tmp_path / "run", [])
    told = {"class_path": "tokenizers_vq.image.ImageVQ", "init_args": arguments}
    (tmp_path / "run" / "config.yaml").write_text(
        yaml.safe_dump({"model": {"init_args": {"tokenizer": told}}})
    )
    assert run(path, tmp_path / "out") == 0
    assert load_tokenizer(tmp_path / "out").fingerprint() == module.tokenizer.fingerprint()
    with pytest.raises(ValueError, match="not empty"):
        run(path, tmp_path / "out")
    (tmp_path / "run" / "config.yaml").write_text("model: {}")
    with pytest.raises(ValueError, match=r"names no tokenizer under model\.init_args\.tokenizer"):
        run(path, tmp_path / "other")


def test_injected_parts_are_built_and_the_teacher_is_not(tmp_path) -> None:
    sizes = {"image_size": 8, "patch_size": 4, "width": 8, "depth": 1, "decoder_depth": 1, "num_heads": 1}
    torch.manual_seed(0)
    module = TokenizerModule(VQKD(CosineVQ(4, 2), **sizes))
    path = tmp_path / "run" / "checkpoints" / "last.ckpt"
    path.parent.mkdir(parents=True)
    torch.save({"state_dict": module.state_dict()}, path)
    quantizer = {
        "class_path": "tokenizers_vq.quantizers.CosineVQ",
        "init_args": {"codebook_size": 4, "dim": 2},
    }
    teacher = {"class_path": "tokenizers_vq.vision.TimmTeacher", "init_args": {"weights": "left.behind"}}
    told = {
        "class_path": "tokenizers_vq.vision.VQKD",
        "init_args": sizes | {"quantizer": quantizer, "teacher": teacher},
    }
    config = yaml.safe_dump({"model": {"init_args": {"tokenizer": told}}})
    (tmp_path / "run" / "config.yaml").write_text(config)
    export_tokenizer(path, tmp_path / "out")
    assert load_tokenizer(tmp_path / "out").fingerprint() == module.tokenizer.fingerprint()


def test_files_that_are_no_checkpoints(tmp_path) -> None:
    with pytest.raises(ValueError, match="is a folder, expected a .ckpt file.*--format bert or modernbert"):
        read_lightning(tmp_path)
    path = tmp_path / "last.ckpt"
    with pytest.raises(ValueError, match="does not exist"):
        read_lightning(path)
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(ValueError, match="truncated"):
        read_lightning(path)
    torch.save({"state_dict": {}, "namespace": argparse.Namespace(a=1)}, path)
    with pytest.raises(ValueError, match="more than tensors"):
        read_lightning(path)
    torch.save({"weights": {}}, path)
    with pytest.raises(ValueError, match="no state_dict"):
        read_lightning(path)
    torch.save({"state_dict": {}}, path)
    with pytest.raises(ValueError, match="neither a masked model nor a tokenizer"):
        run(path, tmp_path / "out")


def test_weights_and_settings_that_do_not_fit(sources, tmp_path) -> None:
    path = fit(Toy(sources, TINY), tmp_path / "run", [])
    defaults = tmp_path / "defaults.json"
    for text, message in [
        ("x", "is no JSON"),
        ("[]", "by target"),
        ('{"image": {"steps": 1}}', "do not exist"),
    ]:
        defaults.write_text(text)
        with pytest.raises(ValueError, match=message):
            run(path, tmp_path / "out", f"--defaults={defaults}")
    checkpoint = read_lightning(path)
    del checkpoint["state_dict"]["model.norm.weight"]
    torch.save(checkpoint, path)
    with pytest.raises(ValueError, match=r"Missing key.*norm\.weight"):
        export_lightning(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()
