"""Lightning callbacks: a stop on non-finite losses, tokens per second, and samples in the logger."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import lightning
import torch
from safetensors.torch import save_file
from torch import Tensor

from maskmm.masking.base import MaskedSequence


class NonFiniteGuard(lightning.Callback):
    """Stop when the loss is NaN or infinite, and save the batch that did it.

    The loss of a step is read when the next one has been launched, so that a GPU is not kept waiting.

    Args:
        folder: where the batch goes, as safetensors; the trainer's root folder where not given.
    """

    def __init__(self, folder: str | None = None) -> None:
        self.folder = folder
        self._pending: tuple[int, Tensor, MaskedSequence] | None = None

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Check the step before, keep this one."""
        loss = outputs["loss"].detach()
        if loss.device.type == "cpu":
            self._check(trainer, (trainer.global_step, loss, batch))
            return
        pending, self._pending = self._pending, (trainer.global_step, loss, batch)
        if pending is not None:
            self._check(trainer, pending)

    def on_train_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Check the last step."""
        if self._pending is not None:
            self._check(trainer, self._pending)
            self._pending = None

    def _check(self, trainer: lightning.Trainer, pending: tuple[int, Tensor, MaskedSequence]) -> None:
        step, loss, batch = pending
        if bool(torch.isfinite(loss)):
            return
        path = Path(self.folder or trainer.default_root_dir) / f"nonfinite_step{step}.safetensors"
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(batch_tensors(batch), path)
        raise ValueError(
            f"loss is {float(loss)} at step {step}, expected a finite number; the batch was saved to {path}. Lower "
            "the learning rate or clip gradients, and look for broken samples in that batch"
        )


def batch_tensors(batch: MaskedSequence) -> dict[str, Tensor]:
    """The tensors of a masked batch by name, for saving."""
    sequence = batch.inputs
    tensors = {
        "ids": sequence.ids,
        "modality": sequence.modality,
        "position": sequence.position,
        "segment": sequence.segment,
        "cu_seqlens": sequence.cu_seqlens,
        "sample_id": sequence.sample_id,
        "mask_kind": batch.mask_kind,
        "targets": batch.targets,
        "is_target": batch.is_target,
    }
    tensors |= {f"inputs.{name}": value for name, value in sequence.inputs.items()}
    return {name: value.detach().cpu().contiguous() for name, value in tensors.items()}


class TokenThroughput(lightning.Callback):
    """Real tokens per second (this rank), in the progress bar and the logger."""

    def __init__(self) -> None:
        self._tokens = 0
        self._since = 0.0

    def on_train_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Start the clock."""
        self._tokens, self._since = 0, time.perf_counter()

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count rows, which are all real: nothing is padded."""
        self._tokens += batch.inputs.num_rows
        if trainer.global_step % trainer.log_every_n_steps == 0:  # type: ignore[attr-defined]
            now = time.perf_counter()
            pl_module.log("tokens_per_s", self._tokens / max(now - self._since, 1e-9), prog_bar=True)
            self._tokens, self._since = 0, now
