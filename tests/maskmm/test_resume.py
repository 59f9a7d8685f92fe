"""Interrupted and resumed training of the shared model is the uninterrupted one, bit for bit on the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning
import pytest
import torch
from lightning.pytorch.callbacks import EMAWeightAveraging, ModelCheckpoint

from tests.maskmm.training import NUM_STEPS, build_data, build_module, build_trainer, write_toy_data
from tokenizers_vq.contract import ModalitySource


class PowerCut(lightning.Callback):
    """Ends the run after a step, between two checkpoints."""

    def on_train_batch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        if trainer.global_step == 5:
            raise KeyError("the power went off")


def fit(folder: Path, sources: list[ModalitySource], name: str, ckpt: Path | None, *more: Any) -> Path:
    """The folder's last checkpoint, written every 4 steps."""
    saver = ModelCheckpoint(
        folder / name, filename="last", every_n_train_steps=4, enable_version_counter=False
    )
    trainer = build_trainer(
        folder / name,
        callbacks=[EMAWeightAveraging(use_buffers=False, decay=0.8), *more, saver],
        enable_checkpointing=True,
    )
    torch.manual_seed(11 if ckpt is None else 12)  # what a new process has before it resumes does not matter
    trainer.fit(
        build_module(sources), build_data(folder, sources), ckpt_path=ckpt, weights_only=ckpt is not None
    )
    return folder / name / "last.ckpt"


def same(first: Any, second: Any, where: str = "") -> None:
    if isinstance(first, torch.Tensor):
        assert torch.equal(first, second), where
    elif isinstance(first, dict):
        assert first.keys() == second.keys(), where
        for key in first:
            same(first[key], second[key], f"{where}/{key}")
    elif isinstance(first, (list, tuple)):
        assert len(first) == len(second), where
        for index, (a, b) in enumerate(zip(first, second)):
            same(a, b, f"{where}/{index}")
    else:
        assert first == second, where


def test_interrupted_and_resumed_is_uninterrupted(tmp_path: Path) -> None:
    sources = write_toy_data(tmp_path)
    whole = torch.load(fit(tmp_path, sources, "whole", None), weights_only=True)
    with pytest.raises(KeyError):
        fit(tmp_path, sources, "part", None, PowerCut())
    half = tmp_path / "part" / "last.ckpt"
    assert torch.load(half, weights_only=True)["global_step"] == 4
    resumed = torch.load(fit(tmp_path, sources, "part", half), weights_only=True)
    assert whole["global_step"] == resumed["global_step"] == NUM_STEPS
    parts = ("state_dict", "current_model_state", "averaging_state", "optimizer_states", "lr_schedulers")
    for part in (*parts, "rng_state"):
        same(whole[part], resumed[part], part)
    name = "model.embedding.codes.weight"
    assert not torch.equal(whole["state_dict"][name], whole["current_model_state"][name])


def test_a_checkpoint_of_another_vocabulary_is_refused(tmp_path: Path) -> None:
    sources = write_toy_data(tmp_path)
    path = fit(tmp_path, sources, "whole", None)
    data = build_data(tmp_path, sources[:2])
    with pytest.raises(ValueError, match="trained with another vocabulary"):
        build_trainer(tmp_path / "other").fit(
            build_module(sources[:2]), data, ckpt_path=path, weights_only=True
        )


def test_another_seed_of_the_data_is_refused(tmp_path: Path) -> None:
    sources = write_toy_data(tmp_path)
    path = fit(tmp_path, sources, "whole", None)
    with pytest.raises(ValueError, match="resume with the same settings"):
        build_trainer(
            tmp_path / "other", callbacks=[EMAWeightAveraging(use_buffers=False)], max_steps=10
        ).fit(
            build_module(sources),
            build_data(tmp_path, sources, seed=4, num_steps=10),
            ckpt_path=path,
            weights_only=True,
        )
