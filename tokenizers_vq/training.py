"""Training of any tokenizer that has a training forward, in Lightning, with or without an adversary."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from tokenizers_vq.adversarial import Adversary
from tokenizers_vq.comparison import Comparison
from tokenizers_vq.contract import Codes
from tokenizers_vq.health import UsageWatch, per_codebook
from tokenizers_vq.optimisation import adamw, warmup_cosine
from tokenizers_vq.previews import show
from tokenizers_vq.quantizers.distributed import sum_over_ranks
from tokenizers_vq.quantizers.statistics import count_codes, perplexity, usage
from tokenizers_vq.trainable import TokenizerOutput, TrainableTokenizer

_LOOK_EVERY = 50  # training steps; each look waits for the device

Batch = dict[str, Any]


class TokenizerModule(L.LightningModule):
    """Trains one tokenizer on batches {"media": ..., optional "lengths": (B,) int64}.

    Logs for training, validation and test the loss and its parts, and for each codebook usage, perplexity and dead
    codes; in training also the codes revived in the step. Weights are averaged by Lightning's EMAWeightAveraging
    callback. Without an adversary gradient clipping and accumulation are the Trainer's; with one, clipping is the
    adversary's. A step is one batch either way: the discriminator's updates are not counted.

    Args:
        tokenizer: what to train.
        lr: peak learning rate, reached after the warm-up, then a cosine down to `final_lr` of it.
        warmup_steps: steps of linear warm-up.
        final_lr: last learning rate as a share of the peak.
        betas: of AdamW.
        weight_decay: of AdamW, on matrices and kernels alone.
        comparisons: further losses by name (perceptual), added to the tokenizer's own.
        adversary: makes the training adversarial. On several processes it wants Lightning's strategy
            "ddp_find_unused_parameters_true", as each step has two backward passes of different parameters.

    Raises:
        ValueError: a tokenizer without a training forward; an adaptive adversary and a tokenizer that does not tell
            its last layer. In training: comparisons or an adversary, and a tokenizer whose output has no target.
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
        comparisons: dict[str, Comparison] | None = None,
        adversary: Adversary | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(tokenizer, TrainableTokenizer):
            raise ValueError(
                f"{type(tokenizer).__name__} is not trained by gradient; expected a TrainableTokenizer (word pieces "
                "are learned by WordPieceText.from_texts)"
            )
        if adversary is not None and adversary.weighting.needs_last_layer and tokenizer.last_layer() is None:
            raise ValueError(
                f"{type(adversary.weighting).__name__} looks at the tokenizer's last layer, but "
                f"{type(tokenizer).__name__}.last_layer() is None; expected a parameter, or take FixedWeight"
            )
        self.tokenizer = tokenizer
        self.comparisons = nn.ModuleDict(comparisons)
        self.adversary = adversary
        self.automatic_optimization = adversary is None
        self.lr, self.warmup_steps, self.final_lr = lr, warmup_steps, final_lr
        self.betas, self.weight_decay = betas, weight_decay
        self._watch = UsageWatch(tokenizer.spec.codebook_size)
        size = (tokenizer.spec.num_codebooks, tokenizer.spec.codebook_size)
        self.register_buffer("_count_QK", torch.zeros(size), persistent=False)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """One step; returns the loss."""
        step = self.global_step  # before any optimizer counts it
        out = self._forward(batch)
        values = {"loss": out.loss} | out.parts | out.metrics
        loss = out.loss
        if self.adversary is not None:
            loss, metrics = self._adversarial_step(self.adversary, out, step)
            values |= metrics
        self.log_dict({f"train/{name}": value.detach() for name, value in values.items()})
        if step % _LOOK_EVERY == 0 and step > self.warmup_steps:
            self._watch.look(out.metrics, step)
        return loss

    def on_validation_epoch_start(self) -> None:
        """Start counting codes."""
        self._count_QK.zero_()

    def on_test_epoch_start(self) -> None:
        """Start counting codes."""
        self._count_QK.zero_()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Losses of one batch; its codes are counted over the whole epoch."""
        self._measure(batch, "val")
        writer: Any = getattr(self.logger, "experiment", None)
        if batch_idx == 0 and not self.trainer.sanity_checking and hasattr(writer, "add_image"):
            show(
                writer,
                self.tokenizer.preview(batch["media"], batch.get("lengths")),
                "val",
                self.global_step,
            )

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

    def configure_optimizers(self) -> Any:
        """AdamW with linear warm-up and cosine decay over the Trainer's total steps.

        The discriminator has one of its own, whose warm-up begins when it starts.
        """
        total = int(self.trainer.estimated_stepping_batches)
        own = self._scheduled(
            adamw(self.tokenizer.parameters(), self.lr, self.betas, self.weight_decay), total
        )
        if self.adversary is None:
            return own
        lr = self.lr if self.adversary.lr is None else self.adversary.lr
        parameters = self.adversary.discriminator.parameters()
        other = adamw(parameters, lr, self.adversary.betas, weight_decay=0.0)
        return [own, self._scheduled(other, total - self.adversary.start_step)]

    def _scheduled(self, optimizer: Optimizer, total_steps: int) -> dict[str, Any]:
        schedule = warmup_cosine(optimizer, self.warmup_steps, total_steps, self.final_lr)
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
        """The tokenizer's output with the comparisons added, and metrics named by codebook."""
        out: TokenizerOutput = self.tokenizer(batch["media"], batch.get("lengths"))
        if out.target is None and (len(self.comparisons) or self.adversary is not None):
            raise ValueError(
                f"{type(self.tokenizer).__name__} gives no target in its output, expected one for comparisons and "
                "adversary; leave them out, or set TokenizerOutput.target"
            )
        more = {name: compare(out.reconstruction, out.target) for name, compare in self.comparisons.items()}
        loss = out.loss + sum(more.values(), start=out.loss.new_zeros(()))
        return replace(out, loss=loss, parts=out.parts | more, metrics=per_codebook(out.metrics))

    def _adversarial_step(
        self, adversary: Adversary, out: TokenizerOutput, step: int
    ) -> tuple[Tensor, Mapping[str, Tensor]]:
        """The tokenizer's update, then the discriminator's on the same reconstructions."""
        assert out.target is not None
        optimizers, schedules = list(self.optimizers()), list(self.lr_schedulers())  # type: ignore[arg-type]
        adversary.discriminator.requires_grad_(False)
        loss, metrics = adversary.tokenizer_loss(out, step, self.tokenizer.last_layer())
        optimizers[0].zero_grad()
        self.manual_backward(loss)
        self.clip_gradients(optimizers[0], adversary.max_grad_norm, "norm")
        optimizers[0].step()
        adversary.discriminator.requires_grad_(True)
        if adversary.is_learning(step):
            other, said = adversary.discriminator_loss(out.target, out.reconstruction, step)
            metrics |= said
            optimizers[1].zero_grad()
            self.manual_backward(other)
            self.clip_gradients(optimizers[1], adversary.max_grad_norm, "norm")
            # Past LightningOptimizer, whose steps would be counted in global_step and so in max_steps.
            self.trainer.strategy.optimizer_step(optimizers[1].optimizer, closure=lambda: None)
            schedules[1].step()
        schedules[0].step()
        return loss.detach(), metrics

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
