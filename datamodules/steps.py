"""A data loader over training steps that goes on where a checkpoint stopped."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from typing import Any, Protocol, runtime_checkable

import lightning
import torch
from torch.utils.data import DataLoader, Dataset

MakeBatch = Callable[[int], Any]
"""A batch of a step: a pure function, picklable, so that any worker may be asked for any step.

Of a loader with several parts it makes the list of a step's parts.
"""


@runtime_checkable
class Walker(Protocol):
    """A MakeBatch that is quicker when told where an interrupted run was."""

    def cursor(self, step: int) -> dict[str, Any]:
        """What to tell it, beside the step; JSON-ready."""
        ...

    def starting_at(self, cursor: dict[str, Any]) -> MakeBatch:
        """The same function, told."""
        ...


class _Steps(Dataset):
    def __init__(self, make_batch: MakeBatch) -> None:
        self._make_batch = make_batch

    def __getitem__(self, step: int) -> Any:
        return self._make_batch(step)


class StepLoader:
    """Batches of steps 0..num_steps-1, in order, made by any number of workers.

    It is no DataLoader, though it makes one: Lightning would give a DataLoader's steps out to the ranks, while here
    every rank has its share of every step.

    Args:
        make_batch: batch of a step.
        num_steps: steps of one pass.
        num_workers: processes that make batches; 0 makes them here.
        num_parts: batches of one step, which come one after the other (gradient accumulation).
    """

    def __init__(
        self, make_batch: MakeBatch, num_steps: int, num_workers: int = 0, num_parts: int = 1
    ) -> None:
        if num_steps < 1 or num_workers < 0:
            raise ValueError(
                f"num_steps={num_steps} must be at least 1 and num_workers={num_workers} at least 0"
            )
        self.make_batch = make_batch
        self.num_steps = num_steps
        self.num_workers = num_workers
        self.num_parts = num_parts
        self.start = 0

    def __len__(self) -> int:
        return self.num_steps * self.num_parts

    def __iter__(self) -> Iterator[Any]:
        steps = DataLoader(
            _Steps(self.make_batch),
            batch_size=None,
            sampler=range(self.start, self.num_steps),
            num_workers=self.num_workers,
            # Copies from page-locked memory to a GPU go on while it computes.
            pin_memory=torch.cuda.is_available(),
            # Its own, or each pass would draw from the global one and move what else draws from it.
            generator=torch.Generator(),
        )
        return iter(steps) if self.num_parts == 1 else chain.from_iterable(steps)


class ResumableLoader(StepLoader):
    """The steps of one training run, whose position Lightning keeps in its checkpoints.

    Its length is that of the whole run, also after a resume: Lightning counts the batches already done.

    Args:
        make_batch: batch of a step.
        num_steps: steps of the run; one pass over the loader is the whole run.
        num_workers: processes that make batches.
        settings: what a resumed run must share with the interrupted one, e.g. its seed.
        position: says how many batches are done.
        num_parts: batches of one step.
    """

    def __init__(
        self,
        make_batch: MakeBatch,
        num_steps: int,
        num_workers: int,
        settings: dict[str, int],
        position: Callable[[], int],
        num_parts: int = 1,
    ) -> None:
        super().__init__(make_batch, num_steps, num_workers, num_parts)
        self._settings = settings
        self._position = position

    def state_dict(self) -> dict[str, Any]:
        """Steps done, the settings that made them, and where the batches go on."""
        step = self._position() // self.num_parts
        state = {"step": step, "settings": dict(self._settings)}
        if isinstance(self.make_batch, Walker):
            state["cursor"] = self.make_batch.cursor(step)
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on at the step of a checkpoint.

        Raises:
            ValueError: the checkpoint was made with other settings.
        """
        if state["settings"] != self._settings:
            raise ValueError(
                f"the checkpoint's data had {state['settings']}, this run has {self._settings}; resume with the same "
                "settings, or start a new run from its weights"
            )
        self.start = state["step"]
        if isinstance(self.make_batch, Walker):
            self.make_batch = self.make_batch.starting_at(state.get("cursor", {}))


def batches_done(trainer: lightning.Trainer | None) -> int:
    """Batches whose optimiser step is finished; a batch that failed half-way is not counted."""
    if trainer is None:
        return 0
    progress: Any = trainer.fit_loop.epoch_loop.batch_progress.current
    return int(progress.processed)


class StepData(lightning.LightningDataModule):
    """What datamodules of this package share: the numbers of a run and its resumable training loader.

    Args:
        batch_size: samples a step, over all ranks together.
        num_steps: training steps of the whole run.
        seed: decides everything random.
        num_workers: processes that make batches.

    Raises:
        ValueError: batch_size below 1.
    """

    def __init__(self, batch_size: int, num_steps: int, seed: int, num_workers: int) -> None:
        super().__init__()
        if batch_size < 1:
            raise ValueError(f"batch_size={batch_size} must be at least 1")
        self.batch_size = batch_size
        self.num_steps = num_steps
        self.seed = seed
        self.num_workers = num_workers

    def __str__(self) -> str:
        # Lightning's own would make every loader, and it knows no loaders but torch's.
        return (
            f"{type(self).__name__}(batch_size={self.batch_size}, num_steps={self.num_steps}, seed={self.seed}, "
            f"num_workers={self.num_workers})"
        )

    @property
    def share(self) -> tuple[int, int]:
        """Rank of this process, and how many there are."""
        return (0, 1) if self.trainer is None else (self.trainer.global_rank, self.trainer.world_size)

    def predict_dataloader(self) -> StepLoader:
        """The same as for the test."""
        return self.test_dataloader()

    def training_loader(
        self, make_batch: MakeBatch, num_parts: int = 1, settings: Mapping[str, int] | None = None
    ) -> ResumableLoader:
        """Loader of the whole run, which goes on at a checkpoint's step.

        Args:
            make_batch: batch of a step, or the list of its parts.
            num_parts: batches of one step.
            settings: what a resumed run must share beside seed and batch_size.

        Raises:
            ValueError: a trainer with max_epochs. To turn epochs into steps it asks for the loader before it has read
                the checkpoint's position, and a resumed run would see the first batches again.
        """
        trainer = self.trainer
        if trainer is not None and not trainer.fast_dev_run and trainer.max_epochs not in (None, -1):  # type: ignore[attr-defined]
            raise ValueError(
                f"max_epochs={trainer.max_epochs}: this run is counted in steps; set max_steps={self.num_steps} alone"
            )
        known = {"seed": self.seed, "batch_size": self.batch_size, **(settings or {})}
        return ResumableLoader(
            make_batch,
            self.num_steps,
            self.num_workers,
            known,
            lambda: batches_done(self.trainer),
            num_parts,
        )
