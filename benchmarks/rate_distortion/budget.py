"""Training for a given CPU time: as many steps as fit in it, so that the cosine of the learning rate ends with it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L

from tokenizers_vq.training import TokenizerModule

_PROBE_SHARE = 0.03  # of the budget, to learn what a step costs
_WARM_STEPS = 3  # the first ones start codebooks and fill caches
_RESERVE = 0.97  # steps slow down a little when the machine is shared
_QUICK_STEPS = 4


@dataclass(frozen=True)
class Budget:
    """What one row may cost.

    Attributes:
        cpu_seconds: CPU time of all threads of this process for one training, the measurement of its steps included.
        seed: of weights, order, augmentation and peers.
        is_quick: a few steps and few samples, to try the path.
        save_to: folder that trained tokenizers and pictures of what they decode go to, where given.
        only: rows whose case holds one of these texts; all where empty. A medium may leave it out of account.
    """

    cpu_seconds: float = 500.0
    seed: int = 0
    is_quick: bool = False
    save_to: Path | None = None
    only: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.cpu_seconds > 0:
            raise ValueError(f"cpu_seconds={self.cpu_seconds}: expected a positive number of seconds")

    def wants(self, case: str) -> bool:
        """Whether the row of that case was asked for."""
        return not self.only or any(text in case for text in self.only)


@dataclass(frozen=True)
class Fitted:
    """What a training took.

    Attributes:
        steps: training steps.
        cpu_s: CPU seconds of this process, the measurement of the steps included.
        wall_s: seconds by the clock.
    """

    steps: int
    cpu_s: float
    wall_s: float


class _StopAfter(L.Callback):
    """Stops training once it has had its CPU seconds, and says what a step took after the first few."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._ends: list[float] = []
        self._start = time.process_time()

    def on_train_batch_end(self, trainer: L.Trainer, *args: Any) -> None:
        self._ends.append(time.process_time())
        trainer.should_stop = (
            len(self._ends) > 2 * _WARM_STEPS and self._ends[-1] - self._start > self.seconds
        )

    @property
    def seconds_a_step(self) -> float:
        ends = self._ends[_WARM_STEPS:]
        return (ends[-1] - ends[0]) / (len(ends) - 1)


def fit(
    module: TokenizerModule,
    data: Any,
    budget: Budget,
    gradient_clip_val: float | None = 1.0,
    precision: Any = "32-true",
    callbacks: Sequence[L.Callback] = (),
) -> Fitted:
    """Train the module in place, through Lightning, and leave it in eval mode.

    A copy of the module is trained first for 3 % of the budget; what a step took decides how many steps the run has,
    and with it the schedule of the learning rate.

    Args:
        module: the tokenizer and how it learns.
        data: a LightningDataModule with `num_steps`, which is set here.
        budget: CPU seconds, seed, quick or not.
        gradient_clip_val: norm that gradients are cut to; with an adversary, which clips by itself, it is not used.
        precision: Lightning's; "bf16-mixed" is quicker for convolutions on CPUs with bfloat16 instructions.
        callbacks: further ones of the run, e.g. averaging of weights.

    Raises:
        ValueError: data without `num_steps`; what module and data raise.
    """
    if not hasattr(data, "num_steps"):
        raise ValueError(f"{type(data).__name__} has no num_steps, expected a datamodule counted in steps")
    cpu, wall = time.process_time(), time.monotonic()
    clip = gradient_clip_val if module.adversary is None else None
    steps = _QUICK_STEPS
    if not budget.is_quick:
        watch = _StopAfter(_PROBE_SHARE * budget.cpu_seconds)
        _train(deepcopy(module), data, 10**6, budget.seed, clip, precision, [watch])
        left = _RESERVE * budget.cpu_seconds - (time.process_time() - cpu)
        steps = max(_QUICK_STEPS, int(left / watch.seconds_a_step))
    _train(module, data, steps, budget.seed, clip, precision, callbacks)
    module.eval()
    return Fitted(steps, round(time.process_time() - cpu, 1), round(time.monotonic() - wall, 1))


def _train(
    module: TokenizerModule,
    data: Any,
    steps: int,
    seed: int,
    clip: float | None,
    precision: Any,
    callbacks: Sequence[L.Callback],
) -> None:
    data.num_steps = steps
    L.seed_everything(seed, verbose=False)
    trainer = L.Trainer(
        accelerator="cpu",
        max_steps=steps,
        gradient_clip_val=clip,
        precision=precision,
        callbacks=list(callbacks),
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        limit_val_batches=0,
    )
    trainer.fit(module, datamodule=data)
