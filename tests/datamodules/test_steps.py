from pathlib import Path
from typing import Any

import lightning
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from datamodules.steps import ResumableLoader, StepData, StepLoader, batches_done

NUM_STEPS = 12


def make_batch(step: int) -> dict[str, torch.Tensor]:
    return {"step": torch.tensor(step), "x": torch.full((2, 3), float(step) / NUM_STEPS)}


class Data(lightning.LightningDataModule):
    def __init__(self, num_workers: int = 0, seed: int = 0) -> None:
        super().__init__()
        self.num_workers, self.seed = num_workers, seed

    def train_dataloader(self) -> ResumableLoader:
        settings = {"seed": self.seed}
        return ResumableLoader(
            make_batch, NUM_STEPS, self.num_workers, settings, lambda: batches_done(self.trainer)
        )


class Model(lightning.LightningModule):
    def __init__(self, fail_at: int | None = None) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(3, 1)
        torch.nn.init.constant_(self.layer.weight, 0.1)
        torch.nn.init.zeros_(self.layer.bias)
        self.seen: list[int] = []
        self.fail_at = fail_at

    def training_step(self, batch: dict[str, torch.Tensor], batch_idx: int) -> torch.Tensor:
        step = int(batch["step"])
        if step == self.fail_at:
            raise KeyError("the power went off")
        self.seen.append(step)
        return (self.layer(batch["x"]) - 1.0).square().mean()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=0.05)


def fit(model: Model, data: Data, folder: Path, ckpt: Path | None = None, **kwargs: Any) -> None:
    saver = ModelCheckpoint(folder, every_n_train_steps=kwargs.pop("every", 1), save_last=True)
    trainer = lightning.Trainer(
        accelerator="cpu",
        callbacks=[saver],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **({"max_steps": NUM_STEPS} | kwargs),
    )
    trainer.fit(model, data, ckpt_path=ckpt, weights_only=True if ckpt else None)


@pytest.mark.filterwarnings("error:You're resuming", "error:Your `IterableDataset`")
@pytest.mark.parametrize("stopped_by", ["max_steps", "crash"])
def test_interrupted_and_resumed_is_uninterrupted(tmp_path: Path, stopped_by: str) -> None:
    whole = Model()
    fit(whole, Data(), tmp_path / "whole")
    assert whole.seen == list(range(NUM_STEPS))
    if stopped_by == "max_steps":
        first = Model()
        fit(first, Data(), tmp_path / "part", max_steps=5)
    else:
        first = Model(fail_at=6)
        with pytest.raises(KeyError):
            fit(first, Data(), tmp_path / "part", every=5)
    second = Model()
    fit(second, Data(), tmp_path / "part", tmp_path / "part" / "last.ckpt")
    assert second.seen == list(range(5, NUM_STEPS))
    assert torch.equal(second.layer.weight, whole.layer.weight)


def test_accumulated_gradients_count_batches(tmp_path: Path) -> None:
    first, second = Model(), Model()
    fit(first, Data(), tmp_path, max_steps=2, accumulate_grad_batches=3)
    fit(second, Data(), tmp_path, tmp_path / "last.ckpt", max_steps=4, accumulate_grad_batches=3)
    assert first.seen + second.seen == list(range(12))


@pytest.mark.parametrize("num_workers", [1, 2])
def test_workers_keep_the_order(num_workers: int) -> None:
    loader = ResumableLoader(make_batch, NUM_STEPS, num_workers, {}, lambda: 0)
    loader.load_state_dict({"step": 4, "settings": {}})
    assert [int(batch["step"]) for batch in loader] == list(range(4, NUM_STEPS))


def test_global_randomness_is_left_alone() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    assert len(list(StepLoader(make_batch, 3))) == 3
    assert torch.equal(torch.get_rng_state(), before)


def test_other_settings_are_refused(tmp_path: Path) -> None:
    fit(Model(), Data(), tmp_path, max_steps=3)
    with pytest.raises(ValueError, match="the checkpoint's data had {'seed': 0}, this run has {'seed': 1}"):
        fit(Model(), Data(seed=1), tmp_path, tmp_path / "last.ckpt")


def test_wrong_numbers_are_named() -> None:
    with pytest.raises(ValueError, match="num_steps=0"):
        ResumableLoader(make_batch, 0, 0, {}, lambda: 0)


class Counted(StepData):
    def train_dataloader(self) -> ResumableLoader:
        return self.training_loader(make_batch)


def test_a_trainer_that_counts_epochs_is_refused(tmp_path: Path) -> None:
    data = Counted(batch_size=2, num_steps=NUM_STEPS, seed=0, num_workers=0)
    with pytest.raises(ValueError, match="max_steps=12"):
        fit(Model(), data, tmp_path, max_epochs=1)  # type: ignore[arg-type]
