"""Training of any tokenizer that has a training forward, in Lightning."""

from __future__ import annotations

import logging
import math
import shutil
from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch import Tensor

from tokenizers_vq.contract import Codes
from tokenizers_vq.quantizers.distributed import sum_over_ranks
from tokenizers_vq.quantizers.statistics import count_codes, perplexity, usage
from tokenizers_vq.trainable import TokenizerOutput, TrainableTokenizer

_LOG = logging.getLogger(__name__)
_LOW_USAGE = 0.2
_LOOK_EVERY = 50  # training steps; each look waits for the device
_PATIENCE = 3  # looks in a row at a low usage before the warning

Batch = dict[str, Any]


class TokenizerModule(L.LightningModule):
    """Trains one tokenizer on batches {"media": ..., optional "lengths": (B,) int64}.

    Logs for training, validation and test the loss and its parts, and for each codebook usage, perplexity and dead
    codes; in training also the codes revived in the step. Gradient clipping is the Trainer's.

    Args:
        tokenizer: what to train.
        lr: peak learning rate, reached after the warm-up, then a cosine down to `final_lr` of it.
        warmup_steps: steps of linear warm-up.
        final_lr: last learning rate as a share of the peak.
        betas: of AdamW.
        weight_decay: of AdamW, on matrices and kernels alone.

    Raises:
        ValueError: a tokenizer without a training forward.
    """

    _count_QK: Tensor

    def __init__(
        self,
        tokenizer: TrainableTokenizer,
        lr: float = 2e-3,
        warmup_steps: int = 30,
        final_lr: float = 0.02,
        betas: tuple[float, float] = (0.9, 0.95),
        weight_decay: float = 1e-4,
    ) -> None:
        super().__init__()
        if not isinstance(tokenizer, TrainableTokenizer):
            raise ValueError(
                f"{type(tokenizer).__name__} is not trained by gradient; expected a TrainableTokenizer (word pieces "
                "are learned by WordPieceText.from_texts)"
            )
        self.tokenizer = tokenizer
        self.lr, self.warmup_steps, self.final_lr = lr, warmup_steps, final_lr
        self.betas, self.weight_decay = betas, weight_decay
        self._low_usage_count = 0
        size = (tokenizer.spec.num_codebooks, tokenizer.spec.codebook_size)
        self.register_buffer("_count_QK", torch.zeros(size), persistent=False)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """One step; returns the loss."""
        out = self._forward(batch)
        values = {"loss": out.loss} | out.parts | out.metrics
        self.log_dict({f"train/{name}": value.detach() for name, value in values.items()})
        if self.global_step % _LOOK_EVERY == 0:
            self._watch(out.metrics)
        return out.loss

    def on_validation_epoch_start(self) -> None:
        """Start counting codes."""
        self._count_QK.zero_()

    def on_test_epoch_start(self) -> None:
        """Start counting codes."""
        self._count_QK.zero_()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Losses of one batch; its codes are counted over the whole epoch."""
        self._measure(batch, "val")
        if batch_idx == 0:
            self._show(batch)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Losses of one batch; its codes are counted over the whole epoch."""
        self._measure(batch, "test")

    def predict_step(self, batch: Batch, batch_idx: int) -> Codes:
        """Codes of a batch."""
        return self.tokenizer.encode(batch["media"], batch.get("lengths"))

    def on_validation_epoch_end(self) -> None:
        """Log the codebooks' health over all validation media."""
        self._log_health("val")

    def on_test_epoch_end(self) -> None:
        """Log the codebooks' health over all test media."""
        self._log_health("test")

    def _measure(self, batch: Batch, split: str) -> None:
        out = self._forward(batch)
        self._count_QK += count_codes(out.codes, self.tokenizer.spec.codebook_size)
        values = {f"{split}/{name}": value for name, value in ({"loss": out.loss} | out.parts).items()}
        self.log_dict(values, batch_size=len(batch["media"]), sync_dist=True)

    def _log_health(self, split: str) -> None:
        sum_over_ranks(self._count_QK)
        for index, count_K in enumerate(self._count_QK):
            values = {
                "usage": usage(count_K),
                "perplexity": perplexity(count_K),
                "dead": (count_K == 0).sum().float(),
            }
            self.log_dict({f"{split}/{name}/{index}": value for name, value in values.items()})

    def configure_optimizers(self) -> Any:
        """AdamW with linear warm-up and cosine decay over the Trainer's total steps."""
        parameters = [p for p in self.tokenizer.parameters() if p.requires_grad]
        groups = [
            {"params": [p for p in parameters if p.ndim > 1], "weight_decay": self.weight_decay},
            {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW(groups, lr=self.lr, betas=self.betas)
        total = max(1, int(self.trainer.estimated_stepping_batches))

        def share(step: int) -> float:
            warmup = min(1.0, (step + 1) / max(1, self.warmup_steps))
            cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, step / total)))
            return warmup * (self.final_lr + (1 - self.final_lr) * cosine)

        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, share)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def export(self, folder: Path | str) -> Path:
        """Write the tokenizer's folder, which `load_tokenizer` reads; an older one of that name is replaced."""
        folder = Path(folder)
        partial = folder.with_name(folder.name + ".partial")
        if partial.exists():
            shutil.rmtree(partial)
        self.tokenizer.save(partial)
        if folder.exists():
            shutil.rmtree(folder)
        return partial.rename(folder)

    def _forward(self, batch: Batch) -> TokenizerOutput:
        out: TokenizerOutput = self.tokenizer(batch["media"], batch.get("lengths"))
        return out

    def _watch(self, metrics: dict[str, Tensor]) -> None:
        """Warn once where a codebook stays nearly unused."""
        shares = [float(value) for name, value in metrics.items() if name.startswith("usage/")]
        if self.global_step <= self.warmup_steps or not shares:
            return
        self._low_usage_count = self._low_usage_count + 1 if min(shares) < _LOW_USAGE else 0
        if self._low_usage_count == _PATIENCE:
            _LOG.warning(
                "step %d: a codebook uses only %.0f %% of its %d codes (usage by level: %s). Try a lower learning "
                "rate, a higher revive_below (0.2), fewer codes, a smaller code_dim, or more media in a batch.",
                self.global_step,
                100 * min(shares),
                self.tokenizer.spec.codebook_size,
                ", ".join(f"{s:.2f}" for s in shares),
            )

    def _show(self, batch: Batch) -> None:
        """Pictures and sounds to loggers that take them."""
        writer: Any = getattr(self.logger, "experiment", None)
        if self.trainer.sanity_checking or not hasattr(writer, "add_image"):
            return
        preview = self.tokenizer.preview(batch["media"], batch.get("lengths"))
        for name, picture in preview.pictures.items():
            writer.add_image(f"val/{name}", picture, self.global_step)
        for name, sound in preview.sounds.items():
            writer.add_audio(f"val/{name}", sound, self.global_step, sample_rate=preview.rate)
