"""Training that starts from a checkpoint: shape, weights and special rows are taken over, frozen weights stay."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from datamodules.store import TokenItems, write_store
from datamodules.tokens import PairedTokens
from maskmm.checkpoint import load_checkpoint, save_checkpoint
from maskmm.checkpoint.warm_start import WarmStart
from maskmm.masking.any_to_any import AnyToAnyMasking
from maskmm.module import MaskedModule
from maskmm.packing import Packer, build_vocabulary
from tests.maskmm.conftest import build_tokenizers
from tests.maskmm.training import build_data, build_module, build_trainer, write_toy_data
from tokenizers_vq.contract import ModalitySource
from tokenizers_vq.pretrained_text import PretrainedText

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat", "sat", "on", "a", "mat"]


def test_a_fit_goes_on_from_a_folder_and_leaves_frozen_weights(tmp_path: Path) -> None:
    sources = write_toy_data(tmp_path)
    first = build_module(sources, seed=1)
    save_checkpoint(tmp_path / "first", first.model, build_tokenizers())
    start = WarmStart(str(tmp_path / "first"), ["embedding.*", "blocks.0.ffn.*"])
    second = MaskedModule(sources, optim=first.optim, warm_start=start, seed=2)
    assert second.model.config == first.model.config
    for one, other in zip(first.model.parameters(), second.model.parameters(), strict=True):
        assert torch.equal(one, other)
    before = {name: p.detach().clone() for name, p in second.model.named_parameters()}
    build_trainer(tmp_path, max_steps=2).fit(second, build_data(tmp_path, sources, num_steps=2))
    for name, parameter in second.model.named_parameters():
        is_frozen = name.startswith(("embedding.", "blocks.0.ffn."))
        assert torch.equal(parameter, before[name]) == is_frozen, name


def test_an_imported_vocabulary_brings_its_special_rows(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text("\n".join(WORDS))
    tokenizer = PretrainedText.from_public(tmp_path, len(WORDS), 12)
    tokenizer.save(tmp_path / "tokenizers" / "text")
    codes = tokenizer.encode(["the cat sat", "a cat", "the mat", "on a mat"] * 4)
    items = TokenItems.from_codes(codes, torch.zeros(len(codes), dtype=torch.int64), tokenizer.spec, "toy")
    for split in ("train", "val"):
        write_store(tmp_path / "tokens" / split, {"text": items}, {})
    sources = [ModalitySource("text", str(tmp_path / "tokenizers" / "text"))]
    vocabulary = build_vocabulary(sources)
    assert vocabulary.aliases == {"[CLS]": ("text", 2), "[SEP]": ("text", 3), "[MASK]": ("text", 4)}
    module = build_module(sources)
    packer = Packer(sources, AnyToAnyMasking())
    data = PairedTokens(
        tmp_path / "tokens",
        modalities=sources,
        batch_size=4,
        num_steps=2,
        seed=0,
        val_batches=1,
        collate=packer,
    )
    build_trainer(tmp_path, max_steps=2, val_check_interval=2).fit(module, data)
    save_checkpoint(tmp_path / "out", module.model, {"text": tokenizer})
    loaded = load_checkpoint(tmp_path / "out")
    assert loaded.vocabulary.aliases == vocabulary.aliases == packer.vocabulary.aliases


def test_bad_patterns_and_folders_are_refused(tmp_path: Path) -> None:
    sources = write_toy_data(tmp_path)
    with pytest.raises(ValueError, match=r"frozen=\['layers.*'\] match no weight"):
        build_module(sources, warm_start=WarmStart(frozen=["layers.*"]))
    with pytest.raises(ValueError, match="does not exist"):
        build_module(sources, warm_start=WarmStart(folder=str(tmp_path / "nowhere")))
