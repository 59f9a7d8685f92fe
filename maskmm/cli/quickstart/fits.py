"""The three fits of the quickstart, through the same LightningCLI as `maskmm fit`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from maskmm.cli.lightning import MaskmmCLI, run_cli

RUNS = "runs"


def run_folder(name: str) -> str:
    """Folder of a fit: config.json, checkpoints and events."""
    return f"{RUNS}/{name}"


def last_checkpoint(name: str) -> Path:
    """Where a fit keeps the checkpoint that it goes on from."""
    return Path(run_folder(name), "checkpoints", "last.ckpt")


def fit(name: str, configs: Sequence[str], seed: int) -> MaskmmCLI:
    """Train, or go on training from the last checkpoint.

    Args:
        name: of the fit's run folder.
        configs: files, later ones over earlier ones; their ModelCheckpoint writes `last.ckpt`.
        seed: of weights, data and masks.
    """
    arguments = [f"--config={config}" for config in configs]
    arguments += [f"--trainer.default_root_dir={run_folder(name)}", f"--seed_everything={seed}"]
    arguments.append("--trainer.enable_model_summary=false")
    if not sys.stderr.isatty():
        arguments.append("--trainer.enable_progress_bar=false")
    if last_checkpoint(name).exists():
        arguments.append(f"--ckpt_path={last_checkpoint(name)}")
    return run_cli(["fit", *arguments])


def fit_tokenizer(name: str, configs: Sequence[str], seed: int, folder: Path) -> None:
    """Train a tokenizer and write its folder."""
    fit(name, configs, seed).model.export(folder)


def fit_model(configs: Sequence[str], seed: int) -> None:
    """Train the shared model; its last checkpoint is the result."""
    fit("model", configs, seed)
