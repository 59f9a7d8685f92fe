"""A data loader over training steps that goes on where a checkpoint stopped."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import lightning
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

MakeBatch = Callable[[int], Any]
"""A batch of a step: a pure function, picklable, so that any worker may be asked for any step."""


class StepDataset(IterableDataset):
    """The batches of steps start..stop-1; worker w of W makes every W-th, so their order stays that of the steps."""

    def __init__(self, make_batch: MakeBatch, stop: int, start: int = 0) -> None:
        self.make_batch = make_batch
        self.start = start
        self.stop = stop

    def __iter__(self) -> Iterator[Any]:
        worker = get_worker_info()
        first, stride = (0, 1) if worker is None else (worker.id, worker.num_workers)
        for step in range(self.start + first, self.stop, stride):
            yield self.make_batch(step)


class StepLoader(DataLoader):
    """Loads the steps of one training run, whose position Lightning keeps in its checkpoints.

    Its length is that of the whole run, also after a resume: Lightning counts the batches already done.

    Args:
        make_batch: batch of a step.
        num_steps: steps of the run; one pass over the loader is the whole run.
        num_workers: processes that make batches; 0 makes them here.
        settings: what a resumed run must share with the interrupted one, e.g. its seed.
        position: says how many steps are done.
    """

    def __init__(
        self,
        make_batch: MakeBatch,
        num_steps: int,
        num_workers: int,
        settings: dict[str, int],
        position: Callable[[], int],
    ) -> None:
        if num_steps < 1 or num_workers < 0:
            raise ValueError(
                f"num_steps={num_steps} must be at least 1 and num_workers={num_workers} at least 0"
            )
        self._steps = StepDataset(make_batch, num_steps)
        self._settings = settings
        self._position = position
        super().__init__(self._steps, batch_size=None, num_workers=num_workers)

    def __len__(self) -> int:
        return self._steps.stop

    def state_dict(self) -> dict[str, Any]:
        """Steps done, and the settings that made them."""
        return {"step": self._position(), "settings": dict(self._settings)}

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
        self._steps.start = state["step"]


def steps_done(trainer: lightning.Trainer | None) -> int:
    """Batches whose optimiser step is finished; a batch that failed half-way is not counted."""
    if trainer is None:
        return 0
    progress: Any = trainer.fit_loop.epoch_loop.batch_progress.current
    return int(progress.processed)
