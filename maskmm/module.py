"""Training of the shared model in Lightning."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import lightning
import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor

from maskmm.averages import check_averages
from maskmm.checkpoint.warm_start import WarmStart, freeze, read_model, take_over
from maskmm.compiling import Answer, CompileConfig, CompiledAnswer, answer, check_compiles
from maskmm.filling import check_window
from maskmm.half_precision import check_half_precision_on_cpu
from maskmm.masking.base import MaskedSequence, part_names
from maskmm.model import MaskedTransformer, TransformerConfig
from maskmm.nn.code_vectors import start_from_code_vectors
from maskmm.objectives.base import Objective, ObjectiveOutput
from maskmm.objectives.cross_entropy import MaskedCrossEntropy, total_loss
from maskmm.optim import OptimConfig, build_optimizer, warmup_cosine
from maskmm.packing import build_vocabulary
from maskmm.vocabulary import Vocabulary
from tokenizers_vq.contract import Key, Modality, ModalitySource, TokenBudget, load_tokenizer


class MaskedModule(lightning.LightningModule):
    """One shared masked transformer and its objective.

    The loss is a weighted sum over (modality, codebook, part) of sum / count, with counts summed over all ranks: how
    samples are packed or sharded does not change it.

    Args:
        modalities: names and tokenizer folders, the same list as the Packer's.
        transformer: shape of the network.
        objective: what is asked; masked cross-entropy where not given.
        optim: optimizer and schedule.
        weights: "modality", "modality/codebook" or "modality/codebook/part" -> weight of its loss, the longest name
            counts; 1 where none is named (0.1 for length labels).
        num_mask_kinds: size of the vocabulary's family of mask ids.
        code_vector_std: where given, embeddings start from the tokenizers' code vectors with this standard deviation
            (needs modalities with tokenizer folders); None starts them at random.
        checkpoints_activations: training keeps each block's input alone and computes the rest again in the backward:
            the same loss and gradients from less memory, for the time of one more forward.
        seed: of the objective's randomness and of the initial weights.
        warm_start: take over the weights of a checkpoint, and freeze some; without a `transformer` its shape too.
        compilation: train with one compiled graph from embedding to loss; the Packer then needs a token budget.
            Validation and test are not compiled: a few batches do not pay for a second compilation.
        has_cls: each sample opens with a [CLS] row; the same as the Packer's.

    Raises:
        ValueError: weights of unknown names, code vectors without tokenizer folders, or a transformer that does not
            compile.
    """

    def __init__(
        self,
        modalities: list[ModalitySource] | list[Modality],
        transformer: TransformerConfig | None = None,
        objective: Objective | None = None,
        optim: OptimConfig | None = None,
        weights: dict[str, float] | None = None,
        num_mask_kinds: int = 1,
        code_vector_std: float | None = None,
        checkpoints_activations: bool = False,
        seed: int = 0,
        warm_start: WarmStart | None = None,
        compilation: CompileConfig | None = None,
        has_cls: bool = True,
    ) -> None:
        super().__init__()
        self.vocabulary = build_vocabulary(modalities, num_mask_kinds, has_cls)
        self.sources = [m for m in modalities if isinstance(m, ModalitySource)]
        labels = {name: 0.1 for name in self.vocabulary.names if name.endswith(".length")}
        self.weights: Mapping[str, float] = {**labels, **(weights or {})}
        known = set(self.vocabulary.names) | {
            name.rsplit("/", 1)[0] for name in part_names(self.vocabulary, ("",))
        }
        unknown = [name for name in self.weights if "/".join(name.split("/")[:2]) not in known]
        if unknown:
            raise ValueError(f"weights for {unknown}, expected names among {sorted(known)}")
        start = warm_start or WarmStart()
        source = None if start.folder is None else read_model(start.folder)
        shape = transformer or (TransformerConfig() if source is None else source.config)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.model = MaskedTransformer(self.vocabulary, shape)
        self.model.checkpoints_activations = checkpoints_activations
        if code_vector_std is not None:
            self._start_from_tokenizers(code_vector_std, seed)
        if source is not None:
            take_over(self.model, source, str(start.folder))
        freeze(self.model, start.frozen)
        self.objective = objective or MaskedCrossEntropy()
        self.optim = optim or OptimConfig()
        self.key = Key(seed).fold("objective")
        self._answer: Answer = answer
        if compilation is not None:
            check_compiles(self.model.config)
            self._answer = CompiledAnswer(compilation)
        self._step_sums: dict[str, Tensor] = {}

    def _start_from_tokenizers(self, std: float, seed: int) -> None:
        if not self.sources:
            raise ValueError(
                f"code_vector_std={std} needs modalities with tokenizer folders, got specs alone"
            )
        for index, source in enumerate(self.sources):
            vectors = load_tokenizer(source.tokenizer).code_vectors()
            if vectors is not None:
                ids = [self.vocabulary.slice(source.name, codebook) for codebook in range(vectors.shape[0])]
                table = self.model.embedding.codes.weight
                start_from_code_vectors(table, vectors, ids, std, seed=seed * 1000 + index)

    @cached_property
    def fingerprints(self) -> dict[str, str]:
        """Fingerprint of each tokenizer that the module's codes come from, by modality."""
        return {source.name: load_tokenizer(source.tokenizer).fingerprint() for source in self.sources}

    def setup(self, stage: str) -> None:
        """Refuse averaged buffers, half precision that a CPU only emulates, a window larger than the token budget."""
        check_averages(self.trainer)
        if self.trainer.strategy.root_device.type == "cpu":
            check_half_precision_on_cpu(self.trainer.precision)
        budget = getattr(getattr(self.trainer, "datamodule", None), "budget", None)
        if isinstance(budget, TokenBudget):
            check_window(self.model.config.attention.window, budget)

    def forward(self, batch: MaskedSequence) -> Tensor:
        """(N, D) features of a batch's inputs."""
        return self.model.forward_features(batch.inputs)

    def training_step(self, batch: MaskedSequence, batch_idx: int) -> Tensor:
        """Scalar loss of one step, or of one part of a step whose gradients are accumulated."""
        num_parts = self.trainer.accumulate_grad_batches
        if num_parts != 1 and batch.step_counts is None:
            raise ValueError(
                f"accumulate_grad_batches={num_parts}, but the batch does not say how many targets its step has, and "
                "means of means would weigh parts by their packing; use a datamodule and collate that make the parts "
                "of a step together (PairedTokens and Packer do), or set 1"
            )
        self.model.at_step(self.global_step)
        output = self._answer(self.objective, self.model, batch, self.key.at(self.global_step))
        loss = total_loss(output.parts, self._counts_of_step(batch, output), self.weights)
        self._log_part(loss, output, batch_idx % num_parts, num_parts)
        # DDP takes the mean of gradients over ranks, Lightning over parts; the counts are those of all already.
        return loss * (self.trainer.world_size * num_parts)

    def _log_part(self, loss: Tensor, output: ObjectiveOutput, part: int, num_parts: int) -> None:
        """Log a step, once all its parts are there."""
        every = self.trainer.log_every_n_steps  # type: ignore[attr-defined]
        if not every or (self.global_step + 1) % every:
            return
        sums = {"train/loss": torch.stack([loss.detach(), torch.ones_like(loss.detach())])}
        sums |= {f"train/{name}": torch.stack(pair) for name, pair in output.metrics.items()}
        if part:
            sums = {name: self._step_sums[name] + pair for name, pair in sums.items()}
        self._step_sums = sums
        if part < num_parts - 1:
            return
        loss = self._step_sums.pop("train/loss")[0]
        # Each rank holds its share of the sums.
        is_sharded = self.trainer.world_size > 1
        self.log("train/loss", loss, prog_bar=True, sync_dist=is_sharded, reduce_fx="sum")
        self.log_dict({name: value / count for name, (value, count) in self._step_sums.items() if count})

    def on_validation_epoch_start(self) -> None:
        """Start the sums of this validation."""
        self._sums: dict[tuple[str, str], Tensor] = {}

    def on_test_epoch_start(self) -> None:
        """Start the sums of this test."""
        self._sums = {}

    def validation_step(self, batch: MaskedSequence, batch_idx: int) -> None:
        """Add one batch to the sums."""
        self._add(batch, self.key.fold("validation").at(batch_idx))

    def test_step(self, batch: MaskedSequence, batch_idx: int) -> None:
        """Add one batch to the sums."""
        self._add(batch, self.key.fold("test").at(batch_idx))

    def predict_step(self, batch: MaskedSequence, batch_idx: int) -> Tensor:
        """(N, D) features of a batch's inputs."""
        return self(batch)

    def on_validation_epoch_end(self) -> None:
        """Log loss, accuracy and bits per token of all batches."""
        self._log_sums("val")

    def on_test_epoch_end(self) -> None:
        """Log loss, accuracy and bits per token of all batches."""
        self._log_sums("test")

    def _add(self, batch: MaskedSequence, key: Key) -> None:
        output = self.objective(self.model, batch, key)
        figures = {("part", name): pair for name, pair in output.parts.items()}
        figures |= {("metric", name): pair for name, pair in output.metrics.items()}
        for name, (value, count) in figures.items():
            pair = torch.stack([value.detach().float(), count.detach().float()])
            self._sums[name] = self._sums[name] + pair if name in self._sums else pair

    def _log_sums(self, split: str) -> None:
        """Each figure is divided by its count over all batches and ranks."""
        if not self._sums:
            return
        # Objectives name every figure on every rank, so the tables agree.
        table = self.trainer.strategy.reduce(torch.stack(list(self._sums.values())), reduce_op="sum")
        sums = [(kind, name, value, count) for (kind, name), (value, count) in zip(self._sums, table)]
        parts = {name: (value, count) for kind, name, value, count in sums if kind == "part"}
        loss = total_loss(parts, {name: count for name, (_, count) in parts.items()}, self.weights)
        self.log(f"{split}/loss", loss, prog_bar=True)
        self.log_dict(
            {f"{split}/{n}": value / count for kind, n, value, count in sums if kind == "metric" and count}
        )

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """AdamW and warm-up + cosine over the trainer's steps."""
        # A fused step would unscale gradients itself, after they have been clipped.
        optimizer = build_optimizer(
            [self.model, self.objective], self.optim, may_fuse=not self._has_scaled_gradients()
        )
        schedule = warmup_cosine(optimizer, self.optim, int(self.trainer.estimated_stepping_batches))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def configure_gradient_clipping(
        self,
        optimizer: Any,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip here: Lightning refuses fused optimizers in mixed precision, though only float16 scales."""
        if not gradient_clip_val or self._has_scaled_gradients():
            self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)
        elif gradient_clip_algorithm == "value":
            torch.nn.utils.clip_grad_value_(self.parameters(), gradient_clip_val)
        else:
            torch.nn.utils.clip_grad_norm_(self.parameters(), gradient_clip_val)

    def _has_scaled_gradients(self) -> bool:
        return self.trainer.precision == "16-mixed"

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep what a folder is built from, and the state of torch's generators, which own objectives may draw from."""
        checkpoint["maskmm"] = {
            "vocabulary": self.vocabulary.to_dict(),
            "transformer": self.model.config.to_dict(),
            "tokenizers": {source.name: str(source.tokenizer) for source in self.sources},
            "fingerprints": self.fingerprints,
        }
        checkpoint["rng_state"] = torch.get_rng_state()
        checkpoint["cuda_rng_states"] = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse a checkpoint of another vocabulary; restore torch's generators."""
        saved = checkpoint.get("maskmm", {}).get("vocabulary")
        if saved is None or Vocabulary.from_dict(saved) != self.vocabulary:
            raise ValueError(
                "the checkpoint was trained with another vocabulary (modalities, specs or mask kinds) than this "
                "config; use the config and tokenizers it was trained with"
            )
        torch.set_rng_state(checkpoint["rng_state"].cpu())
        if torch.cuda.is_available() and len(checkpoint["cuda_rng_states"]) == torch.cuda.device_count():
            torch.cuda.set_rng_state_all([state.cpu() for state in checkpoint["cuda_rng_states"]])

    def _counts_of_step(self, batch: MaskedSequence, output: ObjectiveOutput) -> dict[str, Tensor]:
        """Counts over all ranks and parts."""
        if batch.step_counts is None:
            counts = {name: count.detach() for name, (_, count) in output.parts.items()}
        else:
            counts = dict(zip(part_names(self.vocabulary, batch.part_names), batch.step_counts.unbind()))
            unknown = sorted(set(output.parts) - set(counts))
            if unknown:
                raise ValueError(
                    f"the objective's parts {unknown} have counts that are not known before its forward; train them "
                    "with accumulate_grad_batches=1"
                )
        if self.trainer.world_size == 1:
            return counts
        # Objectives name every part on every rank, also one with nothing asked, so the tables agree.
        table = self.trainer.strategy.reduce(torch.stack(list(counts.values())), reduce_op="sum")
        return dict(zip(counts, table.unbind()))
