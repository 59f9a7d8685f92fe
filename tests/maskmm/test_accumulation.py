"""Gradients accumulated over the parts of a step are those of the whole step, dropout and drop path among them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from maskmm.masking.any_to_any import AnyToAnyMasking
from maskmm.masking.base import MaskedSequence
from maskmm.nn.config import ResidualConfig
from maskmm.packing import Packer
from tests.maskmm.training import TINY, build_data, build_module, build_trainer, write_toy_data
from tokenizers_vq.contract import Key, ModalitySource, TokenBatch, TokenBudget

LEAVING_OUT = replace(TINY, depth=2, residual=ResidualConfig(dropout=0.2, drop_path=0.3))


@pytest.fixture
def sources(tmp_path: Path) -> list[ModalitySource]:
    return write_toy_data(tmp_path)


def fit(folder: Path, sources: list[ModalitySource], num_parts: int, **data: Any) -> dict[str, torch.Tensor]:
    """Weights and what was logged after six steps."""
    module = build_module(sources, transformer=LEAVING_OUT)
    trainer = build_trainer(
        folder, max_steps=6, accumulate_grad_batches=num_parts, log_every_n_steps=3, val_check_interval=100
    )
    trainer.fit(module, build_data(folder, sources, num_steps=6, **data))
    logged = {name: torch.as_tensor(value) for name, value in trainer.logged_metrics.items()}
    assert trainer.global_step == 6 and any(name.startswith("train/image/0") for name in logged)
    return module.state_dict() | logged


@pytest.mark.parametrize("num_parts", [2, 3, 9])
def test_equal_to_one_large_batch(sources: list[ModalitySource], tmp_path: Path, num_parts: int) -> None:
    """Seven samples a step: parts are uneven, and there are more parts than samples in one case."""
    whole, parts = (fit(tmp_path, sources, n, batch_size=7) for n in (1, num_parts))
    assert whole.keys() == parts.keys()
    for name, value in whole.items():
        torch.testing.assert_close(parts[name], value, atol=2e-5, rtol=1e-4, msg=name)


def test_packs_of_a_budget_are_accumulated(sources: list[ModalitySource], tmp_path: Path) -> None:
    """Three packs a step, one after the other, are three packs at once."""
    packer = Packer(sources, AnyToAnyMasking(), budget=TokenBudget(64, 32))
    data = {"batch_size": 3, "buffer_size": 40, "collate": packer}
    parts = fit(tmp_path, sources, 3, **data)

    class Together:
        """The three packs of a step as one batch of samples."""

        budget = None

        def __init__(self) -> None:
            self.batches = build_data(tmp_path, sources, num_steps=6, **data).batches("train")

        def count_rows(self, batch: TokenBatch) -> torch.Tensor:
            return packer.count_rows(batch)

        def of_step(self, batches: list[TokenBatch], key: Key) -> list[MaskedSequence]:
            raise AssertionError

        def __call__(self, batch: TokenBatch, key: Key) -> MaskedSequence:
            draws = torch.cat(self.batches.shares.draws(key.step))
            samples = self.batches.source.transformed(draws, self.batches.source.key)
            return Packer(sources, AnyToAnyMasking())(samples, key)

    whole = fit(tmp_path, sources, 1, batch_size=3, collate=Together())
    for name, value in whole.items():
        torch.testing.assert_close(parts[name], value, atol=2e-5, rtol=1e-4, msg=name)


class Plain:
    """A collate without `of_step`."""

    def __init__(self, sources: list[ModalitySource]) -> None:
        self.packer = Packer(sources, AnyToAnyMasking())

    def __call__(self, batch: TokenBatch, key: Key) -> MaskedSequence:
        return self.packer(batch, key)


class Forgetful(Plain):
    """Parts that do not know their step."""

    def of_step(self, batches: list[TokenBatch], key: Key) -> list[MaskedSequence]:
        return [self.packer(batch, key) for batch in batches]


def test_parts_that_do_not_know_their_step_are_refused(sources: list[ModalitySource], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="a collate with `of_step`, which Plain lacks"):
        fit(tmp_path, sources, 2, collate=Plain(sources))
    with pytest.raises(ValueError, match="accumulate_grad_batches=2, but the batch does not say"):
        fit(tmp_path, sources, 2, collate=Forgetful(sources))
