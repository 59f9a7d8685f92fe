"""A model that reads patches and is asked for codes (BEiT), trained from a token store that holds both."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from datamodules.store import TokenStore, write_store
from maskmm.masking.any_to_any import AnyToAnyMasking
from maskmm.masking.continuous import InputsInsteadOfCodes
from maskmm.packing import Packer
from tests.maskmm.training import TINY, build_data, build_module, build_trainer, write_toy_data
from tokenizers_vq.contract import ModalitySource, TokenBudget


@pytest.fixture
def sources(tmp_path: Path) -> list[ModalitySource]:
    """Toy data whose images have continuous inputs of five channels that tell their codes."""
    sources = write_toy_data(tmp_path)
    for split in ("train", "val"):
        store = TokenStore.open(tmp_path / "tokens" / split)
        image = store.items["image"]
        values = torch.eye(5)[torch.tensor(image.codes[:, 0].astype(int)) % 5]
        write_store(
            tmp_path / "tokens" / split, store.items | {"image": image.with_inputs(values, "toy")}, {}
        )
    return sources


@pytest.mark.parametrize("budget", [None, TokenBudget(96, 32)], ids=["samples", "packs"])
def test_it_trains(sources: list[ModalitySource], tmp_path: Path, budget: TokenBudget | None) -> None:
    collate = Packer(sources, InputsInsteadOfCodes(AnyToAnyMasking()), budget=budget)
    size = 8 if budget is None else 1
    data = build_data(tmp_path, sources, collate=collate, inputs=["image"], batch_size=size, buffer_size=40)
    batch = data.batches("train")(0)
    is_image = batch.inputs.modality == batch.inputs.vocabulary.index("image")
    assert bool((batch.inputs.inputs["image"][: int(is_image.sum())].sum(dim=1) == 1).all())
    module = build_module(sources, transformer=replace(TINY, input_widths={"image": 5}))
    before = module.model.embedding.inputs["image"].weight.detach().clone()
    trainer = build_trainer(tmp_path, max_steps=4)
    trainer.fit(module, data)
    assert trainer.global_step == 4
    assert not torch.equal(module.model.embedding.inputs["image"].weight, before)
