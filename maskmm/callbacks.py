"""Lightning callbacks: a stop on non-finite losses, and tokens per second."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning
import torch
from safetensors.torch import save_file
from torch import Tensor

from maskmm.masking.base import MaskedSequence


class NonFiniteGuard(lightning.Callback):
    """Stop when the loss is NaN or infinite, and save the batch that did it.

    The loss of a step is read when the next one has been launched, so that a GPU is not kept waiting; but always
    before a checkpoint is written, so that the last checkpoint is one to go on from.

    Args:
        folder: where the batch goes, as safetensors; the trainer's root folder where not given.
    """

    def __init__(self, folder: str | None = None) -> None:
        self.folder = folder
        self._pending: tuple[int, Tensor, Any] | None = None

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Check the step before, keep this one."""
        before, self._pending = self._pending, (trainer.global_step, outputs["loss"].detach(), batch)
        if self._pending[1].device.type == "cpu":
            before, self._pending = self._pending, None
        self._check(trainer, before)

    def on_save_checkpoint(
        self, trainer: lightning.Trainer, pl_module: Any, checkpoint: dict[str, Any]
    ) -> None:
        """Check the last step, whose weights are about to be written."""
        self._check_pending(trainer)

    def on_train_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Check the last step."""
        self._check_pending(trainer)

    def _check_pending(self, trainer: lightning.Trainer) -> None:
        pending, self._pending = self._pending, None
        self._check(trainer, pending)

    def _check(self, trainer: lightning.Trainer, pending: tuple[int, Tensor, Any] | None) -> None:
        if pending is None or bool(torch.isfinite(pending[1])):
            return
        step, loss, batch = pending
        folder = Path(self.folder or trainer.default_root_dir)
        path = folder / f"nonfinite_step{step}_rank{trainer.global_rank}.safetensors"
        folder.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(path.name + ".partial")
        save_file(batch_tensors(batch), partial)
        partial.replace(path)
        raise ValueError(
            f"loss is {float(loss)} at step {step}, expected a finite number; the batch was saved to {path}. Lower "
            "the learning rate or clip gradients, and look for broken samples in that batch"
        )


def batch_tensors(batch: MaskedSequence | Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors of a batch by name, for saving.

    Args:
        batch: masked tokens, or what a tokenizer is trained on: name -> tensor or list of tensors.
    """
    if isinstance(batch, MaskedSequence):
        batch = _fields(batch)
    tensors: dict[str, Tensor] = {}
    for name, value in batch.items():
        parts = (
            {name: value} if isinstance(value, Tensor) else {f"{name}.{i}": v for i, v in enumerate(value)}
        )
        tensors |= {key: part for key, part in parts.items() if isinstance(part, Tensor)}
    return {name: value.detach().cpu().contiguous() for name, value in tensors.items()}


def _fields(batch: MaskedSequence) -> dict[str, Any]:
    sequence = batch.inputs
    names = ("ids", "modality", "position", "segment", "cu_seqlens", "sample_id")
    fields = {name: getattr(sequence, name) for name in names}
    fields |= {name: getattr(batch, name) for name in ("mask_kind", "targets", "is_target", "part")}
    return fields | {f"inputs.{name}": value for name, value in sequence.inputs.items()}


class TokenThroughput(lightning.Callback):
    """Real tokens trained on per second (this rank, validation left out), in the progress bar and the logger."""

    def __init__(self) -> None:
        self._tokens = torch.zeros((), dtype=torch.int64)
        self._since = 0.0

    def on_train_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Start the clock."""
        self._tokens, self._since = torch.zeros((), dtype=torch.int64), time.perf_counter()

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count rows, but those that fill up a token budget: their samples have no number."""
        sequence = batch.inputs
        self._tokens = self._tokens + (sequence.sample_id >= 0)[sequence.sample].sum()
        every, num_parts = trainer.log_every_n_steps, trainer.accumulate_grad_batches  # type: ignore[attr-defined]
        if every and trainer.global_step % every == 0 and (batch_idx + 1) % num_parts == 0:
            tokens, now = float(self._tokens), time.perf_counter()
            pl_module.log("tokens_per_s", tokens / max(now - self._since, 1e-9), prog_bar=True)
            self._tokens, self._since = torch.zeros((), dtype=torch.int64), now

    def on_validation_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Stop the clock."""
        self._since -= time.perf_counter()

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Let the clock go on."""
        self._since += time.perf_counter()
