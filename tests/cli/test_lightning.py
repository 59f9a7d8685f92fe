"""Configs, links, errors and run folders of `maskmm fit`."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch
from lightning.pytorch.callbacks import TQDMProgressBar

from maskmm import half_precision
from maskmm.cli import configs, precision
from maskmm.cli.checkpoint_io import WholeCheckpoints
from maskmm.cli.lightning import MaskmmCLI, run_cli, with_found_configs
from maskmm.cli.main import main
from maskmm.cli.progress import StepProgressBar

PLUGIN = """
import lightning as L
import torch
from tokenizers_vq.contract import ModalitySource

class Collator:
    def __init__(self, modalities: list[ModalitySource], size: int = 1) -> None:
        self.modalities = modalities

class Module(L.LightningModule):
    def __init__(self, modalities: list[ModalitySource], lr: float = 0.1) -> None:
        super().__init__()
        self.modalities, self.lr, self.layer = modalities, lr, torch.nn.Linear(2, 1)

    def training_step(self, batch, batch_idx):
        return self.layer(batch).square().mean()

    def test_step(self, batch, batch_idx):
        self.layer(batch)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=self.lr)

class Unaware(Module):
    def __init__(self, lr: float = 0.1) -> None:
        super().__init__([], lr)

class Wide(Module):
    def __init__(self, modalities: list[ModalitySource], lr: float = 0.1) -> None:
        super().__init__(modalities, lr)
        self.layer = torch.nn.Linear(2, 3)

class Data(L.LightningDataModule):
    def __init__(self, collate: Collator | None = None) -> None:
        super().__init__()
        self.collate = collate

    def train_dataloader(self):
        return torch.utils.data.DataLoader(torch.ones(8, 2), batch_size=2)

    test_dataloader = train_dataloader

class Broken(Data):
    def transfer_batch_to_device(self, batch, device, dataloader_idx):
        raise ValueError("no batch")
"""
CONFIG = """
modalities:
- {name: image, tokenizer: folder/of/image}
model: {class_path: cli_test_plugin.Module}
data:
  class_path: cli_test_plugin.Data
  init_args:
    collate: {class_path: cli_test_plugin.Collator, init_args: {size: 2}}
trainer: {accelerator: cpu, max_steps: 2, enable_progress_bar: false, enable_model_summary: false}
"""
MORE = """
modalities+:
- {name: text, tokenizer: folder/of/text}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "cli_test_plugin.py").write_text(PLUGIN)
    (tmp_path / "run.yaml").write_text(CONFIG)
    (tmp_path / "more.yaml").write_text(MORE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def fit(*arguments: str) -> MaskmmCLI:
    return run_cli(["fit", "-c", "run.yaml", *arguments])


def test_modalities_reach_model_and_collate_and_grow(folder: Path) -> None:
    cli = fit("-c", "more.yaml")
    names = [m.name for m in cli.model.modalities]
    assert names == ["image", "text"]
    assert cli.datamodule.collate.modalities == cli.model.modalities


def test_a_model_without_modalities_needs_none(folder: Path) -> None:
    cli = fit("--model=cli_test_plugin.Unaware", "--data=cli_test_plugin.Data")
    assert cli.trainer.global_step == 2


def test_a_run_fills_its_own_folder_and_can_be_repeated(folder: Path) -> None:
    for _ in range(2):
        fit("--trainer.default_root_dir=runs/mine")
    files = {p.name for p in (folder / "runs/mine").iterdir()}
    assert {"config.yaml", "checkpoints"} <= files
    assert not (folder / "lightning_logs").exists()


def test_checkpoints_are_whole_or_absent(folder: Path) -> None:
    assert type(fit().trainer.strategy.checkpoint_io) is WholeCheckpoints


def test_the_saved_config_can_be_run_again(folder: Path) -> None:
    fit("--trainer.default_root_dir=first")
    cli = run_cli(["fit", "-c", "first/config.yaml", "--trainer.default_root_dir=second"])
    assert [m.name for m in cli.model.modalities] == ["image"]


@pytest.mark.parametrize(
    ("argument", "named"),
    [
        ("--model.lrr=3", "lrr"),
        ("--trainer.max_stepss=3", "max_stepss"),
        ("--trainer.max_steps=many", "many"),
        ("--config=absent.yaml", "absent.yaml"),
        ("--model=cli_test_plugin.Modul", "Modul"),
        ("--modalities=[{name: image, tokeniser: x}]", "tokeniser"),
        ("--trainer.devices=0", "devices"),
        ("--trainer.devices=100000", "devices=100000"),
        ("--trainer.accumulate_grad_batches=0", "accumulate_grad_batches=0, expected at least 1"),
        ("--trainer.callbacks+={class_path: no.Such}", "No module named 'no' (given"),
    ],
)
def test_a_typo_is_one_line_and_exit_code_2(
    folder: Path, argument: str, named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fit", "-c", "run.yaml", argument]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if "Seed set" not in line]
    assert len(lines) == 1 and lines[0].startswith("maskmm: error: ") and named in lines[0]


def test_a_config_of_the_installation_is_found_by_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = folder / "installed"
    (root / "experiment").mkdir(parents=True)
    (root / "experiment/x.yaml").write_text("{}")
    monkeypatch.setattr(configs, "config_root", lambda: root)
    name = "configs/experiment/x.yaml"
    expected = str(root / "experiment/x.yaml")
    assert with_found_configs(["fit", "-c", name, f"--config={name}", "-c", "run.yaml"]) == [
        "fit", "-c", expected, f"--config={expected}", "-c", "run.yaml",
    ]  # fmt: skip
    (folder / "configs/experiment").mkdir(parents=True)
    (folder / name).write_text("{}")
    assert configs.find_config(name) == name


def test_configs_of_this_checkout_exist() -> None:
    assert configs.config_root().is_dir()


def test_precision_is_chosen_aloud(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    with caplog.at_level(logging.INFO):
        assert precision.choose_precision(None, "cpu") == "32-true"
    assert "32-true" in caplog.text
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: True)
    assert precision.choose_precision(None, "auto") == "bf16-mixed"
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation)
    assert precision.choose_precision(None, "auto") == "32-true"
    assert precision.choose_precision("16-mixed", "gpu") == "16-mixed"


@pytest.mark.parametrize("asked", ["bf16-mixed", "bf16-true", "16-mixed"])
def test_half_precision_is_refused_where_it_is_emulated(asked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(half_precision, "has_fast_bf16", lambda: False)
    with pytest.raises(ValueError, match=asked):
        precision.choose_precision(asked, "cpu")
    monkeypatch.setattr(half_precision, "has_fast_bf16", lambda: True)
    if asked.startswith("bf16"):
        assert precision.choose_precision(asked, "cpu") == asked


@pytest.mark.parametrize(
    ("content", "message"), [("", "is None"), ("- 1", "is [1]"), ("a: [", "no YAML"), (b"\xff", "no YAML")]
)
def test_a_config_that_is_no_mapping_is_named(
    folder: Path, content: str | bytes, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "bad.yaml").write_bytes(content if isinstance(content, bytes) else content.encode())
    assert main(["fit", "-c", "bad.yaml"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("maskmm: error: config bad.yaml ") and message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("content", [None, b"half a file"])
def test_a_checkpoint_that_is_not_there_or_cut_short_is_named(
    folder: Path, content: bytes | None, capsys: pytest.CaptureFixture[str]
) -> None:
    if content is not None:
        (folder / "a.ckpt").write_bytes(content)
    assert main(["fit", "-c", "run.yaml", "--ckpt_path", "a.ckpt"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("maskmm: error: a.ckpt ") and error.count("\n") == 1


def test_measuring_leaves_the_config_of_the_fit_alone(folder: Path) -> None:
    fit("--trainer.default_root_dir=run")
    before = (folder / "run/config.yaml").read_text()
    (path,) = (folder / "run/checkpoints").glob("*.ckpt")
    run_cli(["test", "-c", "run/config.yaml", f"--ckpt_path={path}"])
    assert (folder / "run/config.yaml").read_text() == before


def test_a_fit_that_fails_leaves_the_config_of_the_fit_before(folder: Path) -> None:
    fit("--trainer.default_root_dir=run", "--model.lr=0.5")
    before = (folder / "run/config.yaml").read_text()
    with pytest.raises(ValueError, match="no batch"):
        fit("--trainer.default_root_dir=run", "--data=cli_test_plugin.Broken")
    assert (folder / "run/config.yaml").read_text() == before
    assert not list((folder / "run").glob(".*partial"))


def test_a_fit_without_checkpoints_says_how_it_was_trained(folder: Path) -> None:
    fit("--trainer.default_root_dir=run", "--trainer.enable_checkpointing=false", "--model.lr=0.5")
    assert "lr: 0.5" in (folder / "run/config.yaml").read_text()


def test_a_typo_in_the_trainer_of_a_config_is_guessed(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "typo.yaml").write_text("trainer: {max_step: 3}")
    assert main(["fit", "-c", "run.yaml", "-c", "typo.yaml"]) == 2
    error = capsys.readouterr().err
    assert "option 'trainer.max_step', did you mean 'max_steps'?" in error and error.count("\n") == 1


def test_a_checkpoint_of_another_model_is_one_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fit("--trainer.default_root_dir=run")
    (path,) = (folder / "run/checkpoints").glob("*.ckpt")
    arguments = ["fit", "-c", "run.yaml", f"--ckpt_path={path}", "--model=cli_test_plugin.Wide"]
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert "does not fit the model of this config (2 differences, the first: size mismatch" in error
    assert error.startswith("maskmm: error: ") and error.count("\n") == 1


def test_measuring_without_a_checkpoint_is_said(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    run_cli(["test", "-c", "run.yaml"])
    assert "no --ckpt_path FILE: test takes the weights that a training would start from" in caplog.text


def test_a_run_in_steps_counts_no_epochs(folder: Path) -> None:
    bar = fit("--trainer.enable_progress_bar=true").trainer.progress_bar_callback
    assert isinstance(bar, StepProgressBar) and bar._get_train_description(0) == "Training"
    cli = fit("--trainer.max_epochs=3", "--trainer.enable_progress_bar=true", "--trainer.max_steps=-1")
    assert "Epoch 0/2" in cli.trainer.progress_bar_callback._get_train_description(0)
    own = "{class_path: lightning.pytorch.callbacks.TQDMProgressBar}"
    cli = fit(f"--trainer.callbacks={own}", "--trainer.enable_progress_bar=true")
    assert isinstance(cli.trainer.progress_bar_callback, TQDMProgressBar)
    assert fit("--trainer.enable_progress_bar=false").trainer.progress_bar_callback is None
