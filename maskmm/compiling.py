"""Embedding, blocks, head and loss of a training step as one compiled graph."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import torch

from maskmm.masking.base import MaskedSequence
from maskmm.nn.transformer_config import TransformerConfig
from maskmm.objectives.base import MaskedModel, Objective, ObjectiveOutput
from tokenizers_vq.contract import Key

Mode = Literal["default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs"]
Backend = Literal["inductor", "aot_eager", "eager"]
Answer = Callable[[Objective, MaskedModel, MaskedSequence, Key], ObjectiveOutput]


@dataclass(frozen=True)
class CompileConfig:
    """How `torch.compile` is asked.

    Args:
        mode: "default"; "reduce-overhead" records CUDA graphs; "max-autotune" also tries several kernels, which takes
            minutes; "max-autotune-no-cudagraphs" the same without the graphs.
        backend: "inductor" makes kernels; "aot_eager" and "eager" only trace, to find what does not compile.

    Raises:
        ValueError: an unknown mode or backend, or a mode with a backend that makes no kernels.
    """

    mode: Mode = "default"
    backend: Backend = "inductor"

    def __post_init__(self) -> None:
        if self.mode not in get_args(Mode) or self.backend not in get_args(Backend):
            raise ValueError(
                f"mode={self.mode!r} and backend={self.backend!r}, expected one of {get_args(Mode)} and one of "
                f"{get_args(Backend)}"
            )
        if self.mode != "default" and self.backend != "inductor":
            raise ValueError(f"mode={self.mode!r} with backend={self.backend!r}: only 'inductor' has modes")


def check_compiles(transformer: TransformerConfig) -> None:
    """Refuse what has shapes that follow from what is masked.

    Raises:
        ValueError: a decoder.
    """
    if transformer.head.decoder is not None:
        raise ValueError(
            f"compilation with head.decoder={transformer.head.decoder}: how many rows its encoder sees changes from "
            "batch to batch; train without `compilation`, or without the decoder"
        )


def answer(objective: Objective, model: MaskedModel, batch: MaskedSequence, key: Key) -> ObjectiveOutput:
    """What the objective makes of the model's answers to one batch."""
    return objective(model, batch, key)


class CompiledAnswer:
    """`answer` in one graph, for batches of one shape.

    Args:
        config: how to compile.

    Raises:
        ValueError: on a call, a batch of another shape than the first, or what cannot be traced into one graph.
    """

    def __init__(self, config: CompileConfig) -> None:
        # Here, because importing them takes seconds, which only runs that compile should pay.
        from torch._dynamo.exc import TorchDynamoException
        from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode

        self._refusals = (TorchDynamoException, GuardOnDataDependentSymNode)
        mode = None if config.mode == "default" else config.mode
        self._compiled: Answer = torch.compile(answer, fullgraph=True, backend=config.backend, mode=mode)
        self._shape: tuple[int, ...] | None = None
        self._num_targets: list[int] | None = None
        self._is_varying = False

    def __call__(
        self, objective: Objective, model: MaskedModel, batch: MaskedSequence, key: Key
    ) -> ObjectiveOutput:
        """The same as `answer`, within rounding."""
        self._check(batch)
        self._mark(batch)
        try:
            return self._compiled(objective, model, batch, key)
        except self._refusals as error:
            raise ValueError(
                f"{type(objective).__name__} on this model does not compile into one graph ({_reason(error)}); train "
                "without `compilation`, or change what does not compile"
            ) from error

    def _check(self, batch: MaskedSequence) -> None:
        sequence = batch.inputs
        shape = (sequence.num_rows, sequence.num_samples, len(sequence.segments))
        self._shape = self._shape or shape
        if shape != self._shape:
            raise ValueError(
                f"a batch of {shape[0]} rows, {shape[1]} samples and {shape[2]} segments after one of {self._shape}: "
                "every shape would be compiled anew; give the Packer a token budget"
            )

    def _mark(self, batch: MaskedSequence) -> None:
        """Once a list of target rows has outgrown its capacity, compile once more, for lists of any length.

        Left alone, torch would compile anew for each list that does so.
        """
        num_targets = [target.rows.shape[0] for target in batch.target_rows]
        self._num_targets = self._num_targets or num_targets
        self._is_varying = self._is_varying or num_targets != self._num_targets
        if self._is_varying:
            for target in batch.target_rows:
                for value in (target.rows, target.codes, target.part, target.is_real):
                    torch._dynamo.maybe_mark_dynamic(value, 0)
            if batch.asked is not None:
                torch._dynamo.maybe_mark_dynamic(batch.asked.index, 0)


def _reason(error: Exception) -> str:
    """What torch says first, and what it means where that is obscure."""
    line = str(error).strip().splitlines()[0]
    if "data-dependent" in line.lower():
        line += (
            ": shapes or branches follow from values of tensors, as with attention under a predicate on a CPU"
        )
    return line
