"""A tiny training of the shared model on toy tokens: tokenizer folders, token stores, a module, data and a trainer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning
import torch

from datamodules.store import TokenItems, write_store
from datamodules.tokens import PairedTokens
from maskmm.masking.any_to_any import AnyToAnyMasking
from maskmm.masking.base import MaskedSequence
from maskmm.masking.transforms import DropModalities, LengthQueries
from maskmm.model import TransformerConfig
from maskmm.module import MaskedModule
from maskmm.nn.config import AttentionConfig, FeedForwardConfig, ResidualConfig
from maskmm.optim import OptimConfig
from maskmm.packing import Packer
from maskmm.sequence import take_samples
from tests.maskmm.conftest import build_tokenizers
from tokenizers_vq.contract import ModalitySource, Tokenizer

NUM_STEPS = 8
COUNTS = {"image": 24, "text": 12, "speech": 18}
TINY = TransformerConfig(
    width=16,
    depth=1,
    attention=AttentionConfig(num_heads=2),
    ffn=FeedForwardConfig(width=16),
    residual=ResidualConfig(dropout=0.1),
    init_std=0.2,
)


def codes_of(tokenizer: Tokenizer, count: int, seed: int) -> list[torch.Tensor]:
    """Codes of every length: item i is of class i mod 3, and most of its codes are its class's own."""
    random, spec = torch.Generator().manual_seed(seed), tokenizer.spec
    codes = []
    for item in range(count):
        shape = (*spec.shape(None if spec.is_fixed else 1 + item % 9), spec.num_codebooks)
        noise = torch.randint(spec.codebook_size, shape, generator=random)
        codes.append(torch.where(torch.rand(shape, generator=random) < 0.8, item % 3, noise))
    return codes


def write_toy_data(folder: Path) -> list[ModalitySource]:
    """Folders `tokenizers/<name>` and token stores `tokens/<split>`; three classes."""
    tokenizers = build_tokenizers()
    for name, tokenizer in tokenizers.items():
        tokenizer.save(folder / "tokenizers" / name)
    for seed, split in enumerate(("train", "val", "test")):
        items = {
            name: TokenItems.from_codes(
                codes_of(tokenizer, COUNTS[name], seed), torch.arange(COUNTS[name]) % 3, tokenizer.spec, "toy"
            )
            for name, tokenizer in tokenizers.items()
        }
        write_store(folder / "tokens" / split, items, {})
    return [ModalitySource(name, str(folder / "tokenizers" / name)) for name in tokenizers]


def build_data(folder: Path, sources: list[ModalitySource], **changes: Any) -> PairedTokens:
    settings = {
        "batch_size": 8,
        "num_steps": NUM_STEPS,
        "seed": 3,
        "val_batches": 2,
        "collate": Packer(sources, AnyToAnyMasking(condition_noise=0.2)),
        "transforms": [DropModalities(), LengthQueries(sources, 0.2)],
    }
    return PairedTokens(folder / "tokens", modalities=sources, **(settings | changes))


def build_module(sources: list[ModalitySource], **changes: Any) -> MaskedModule:
    settings = {"transformer": TINY, "optim": OptimConfig(lr=0.01, warmup_steps=2)}
    return MaskedModule(sources, **(settings | changes))


def build_trainer(folder: Path, **changes: Any) -> lightning.Trainer:
    settings = {
        "accelerator": "cpu",
        "max_steps": NUM_STEPS,
        "val_check_interval": 3,
        "check_val_every_n_epoch": None,
        "log_every_n_steps": 2,
        "gradient_clip_val": 1.0,
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    return lightning.Trainer(default_root_dir=folder, **(settings | changes))


def part_of(batch: MaskedSequence, index: list[int]) -> MaskedSequence:
    """Some samples of a masked batch, as a batch of their own."""
    kept = torch.tensor(index)
    rows = torch.cat([(batch.inputs.sample == b).nonzero().flatten() for b in index])
    inputs = take_samples(batch.inputs, kept)
    fields = {name: getattr(batch, name)[rows] for name in ("mask_kind", "targets", "is_target", "part")}
    return replace(batch, inputs=inputs, **fields).with_target_rows()
