"""A NaN loss ends the run with its batch saved; tokens per second reach the logger and the progress bar."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from safetensors.torch import load_file

from maskmm.callbacks import NonFiniteGuard, TokenThroughput, batch_tensors
from maskmm.cli.errors import guarded
from tests.maskmm.training import build_data, build_module, build_trainer, write_toy_data


class Breaker(lightning.Callback):
    """Makes the weights NaN before a step."""

    def __init__(self, step: int, value: float) -> None:
        self.step, self.value = step, value

    def on_train_batch_start(self, trainer: lightning.Trainer, pl_module: Any, *_: Any) -> None:
        if trainer.global_step == self.step:
            pl_module.model.head_bias.data.fill_(self.value)


def test_a_nan_loss_stops_with_the_batch_saved(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sources = write_toy_data(tmp_path)
    saver = ModelCheckpoint(tmp_path / "run", filename="last", every_n_train_steps=2)
    callbacks = [Breaker(3, torch.nan), NonFiniteGuard(), saver]
    trainer = build_trainer(tmp_path / "run", callbacks=callbacks, enable_checkpointing=True)
    data, module = build_data(tmp_path, sources), build_module(sources)

    def fit() -> int:
        trainer.fit(module, data)
        return 0

    assert guarded(fit, is_debug=False) == 2
    path = tmp_path / "run" / "nonfinite_step4_rank0.safetensors"
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
    assert "loss is nan at step 4, expected a finite number" in line and str(path) in line
    saved, batch = load_file(path), data.batches("train")(3)
    assert torch.equal(saved["ids"], batch.inputs.ids) and torch.equal(saved["is_target"], batch.is_target)
    last = torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)
    assert last["global_step"] == 2 and all(bool(v.isfinite().all()) for v in last["state_dict"].values())


class Later(torch.Tensor):
    """Says that it is on a device whose answers take time."""

    @property
    def device(self) -> Any:
        return SimpleNamespace(type="cuda")


def test_on_a_gpu_the_step_before_is_read(tmp_path: Path) -> None:
    guard = NonFiniteGuard(str(tmp_path / "broken"))
    trainer: Any = SimpleNamespace(global_step=1, global_rank=2, default_root_dir="unused")
    batch = {"media": torch.ones(2, 3), "name": "x", "clips": [torch.zeros(1), torch.ones(2)]}
    bad = {"loss": torch.tensor(torch.inf).as_subclass(Later)}
    guard.on_train_batch_end(trainer, None, {"loss": torch.tensor(1.0).as_subclass(Later)}, batch, 0)
    guard.on_train_batch_end(trainer, None, bad, batch, 1)
    with pytest.raises(ValueError, match="loss is inf at step 1"):
        guard.on_save_checkpoint(trainer, None, {})
    saved = load_file(tmp_path / "broken" / "nonfinite_step1_rank2.safetensors")
    assert sorted(saved) == ["clips.0", "clips.1", "media"]
    guard.on_train_end(trainer, None)
    guard.on_train_batch_end(trainer, None, bad, batch, 2)
    with pytest.raises(ValueError, match="loss is inf"):
        guard.on_train_end(trainer, None)
    assert sorted(batch_tensors(batch)) == sorted(saved)


def test_tokens_per_second_are_counted_and_shown(tmp_path: Path) -> None:
    sources = write_toy_data(tmp_path)
    trainer = build_trainer(tmp_path, callbacks=[TokenThroughput()])
    trainer.fit(build_module(sources), build_data(tmp_path, sources))
    assert float(trainer.logged_metrics["tokens_per_s"]) > 0
    assert "tokens_per_s" in trainer.progress_bar_metrics and "train/loss" in trainer.progress_bar_metrics


def test_a_run_that_logs_nothing(tmp_path: Path) -> None:
    sources = write_toy_data(tmp_path)
    trainer = build_trainer(tmp_path, callbacks=[TokenThroughput()], log_every_n_steps=0, max_steps=2)
    trainer.fit(build_module(sources), build_data(tmp_path, sources, num_steps=2))
    assert not [name for name in trainer.logged_metrics if not name.startswith("val/")]
