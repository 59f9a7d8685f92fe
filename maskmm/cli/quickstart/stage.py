"""Stages that are done once: interrupted, they continue; with other settings, they start anew."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import maskmm
from maskmm.cli.quickstart.resources import Cost, measured

_LOG = logging.getLogger(__name__)
STAMPS = ".stages"


@dataclass(frozen=True)
class Stage:
    """One step of a chain, each depending on all before it.

    Attributes:
        name: of its stamp.
        title: what the user reads.
        settings: JSON-ready; with the stages before, they decide the result.
        results: what it leaves, relative to the working directory; each is renamed into place when it is whole.
        scratch: what it goes on from when interrupted, e.g. a run folder with checkpoints.
        run: does the work; started again after an interruption it finds its scratch.
    """

    name: str
    title: str
    settings: dict[str, Any]
    results: tuple[str, ...]
    run: Callable[[], None]
    scratch: tuple[str, ...] = ()


@dataclass(frozen=True)
class Receipt:
    """What a finished stage was and cost.

    Attributes:
        stage: its name.
        digest: hash of its settings and of the stages before.
        cost: of all processes that worked on it; what one that was killed outright had spent is not known.
        num_starts: 1 where it was never interrupted.
    """

    stage: str
    digest: str
    cost: Cost
    num_starts: int

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready dictionary."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Receipt:
        """Inverse of `to_dict`."""
        return cls(**{**data, "cost": Cost(**data["cost"])})


def run_stages(stages: Sequence[Stage]) -> list[Receipt]:
    """Run what is not done yet, in the working directory.

    A stage is done where its stamp holds its digest and all its results exist. What another version of the program,
    other settings or another earlier stage have left is deleted first.

    Returns:
        One receipt a stage, also for those that were done before.
    """
    receipts: list[Receipt] = []
    digest = hashlib.sha256(maskmm.__version__.encode()).hexdigest()
    for number, stage in enumerate(stages, start=1):
        digest = _digest(digest, stage)
        label = f"[{number}/{len(stages)}] {stage.title}"
        receipt = _read(_stamp(stage))
        if receipt and receipt.digest == digest and all(Path(result).exists() for result in stage.results):
            _LOG.info("%s: done before", label)
        else:
            _LOG.info("%s ...", label)
            receipt = _run(stage, digest)
            _LOG.info("%s: %s", label, describe(receipt.cost))
        receipts.append(receipt)
    return receipts


def read_receipts(stages: Sequence[Stage]) -> list[Receipt]:
    """Receipts of stages that are done, in the working directory."""
    return [receipt for stage in stages if (receipt := _read(_stamp(stage))) is not None]


def describe(cost: Cost) -> str:
    """A cost in words."""
    return f"{cost.wall_s:.0f} s, {cost.cpu_s:.0f} CPU s, peak memory {cost.peak_memory_bytes / 1e9:.2f} GB"


def write_json(path: Path, data: Any) -> None:
    """Write JSON under a temporary name, then rename: the file is whole or absent."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(data, indent=2) + "\n")
    partial.replace(path)


def _run(stage: Stage, digest: str) -> Receipt:
    begun = _read(_begun(stage))
    if begun is None or begun.digest != digest:
        for path in (*stage.results, *stage.scratch):
            _remove(Path(path))
        begun = Receipt(stage.name, digest, Cost(), 0)
    _stamp(stage).unlink(missing_ok=True)
    # Written before the work as well: a killed process leaves that it had started.
    write_json(_begun(stage), Receipt(stage.name, digest, begun.cost, begun.num_starts + 1).to_dict())
    cost = Cost()
    try:
        with measured() as cost:
            stage.run()
    finally:
        receipt = Receipt(stage.name, digest, begun.cost + cost, begun.num_starts + 1)
        write_json(_begun(stage), receipt.to_dict())
    missing = [result for result in stage.results if not Path(result).exists()]
    if missing:
        raise RuntimeError(f"stage {stage.name} ended without {missing}")
    _begun(stage).replace(_stamp(stage))
    return receipt


def _digest(before: str, stage: Stage) -> str:
    data = json.dumps([before, stage.name, stage.settings], sort_keys=True)
    return hashlib.sha256(data.encode()).hexdigest()


def _stamp(stage: Stage) -> Path:
    return Path(STAMPS) / f"{stage.name}.json"


def _begun(stage: Stage) -> Path:
    return Path(STAMPS) / f"{stage.name}.begun.json"


def _read(path: Path) -> Receipt | None:
    if not path.exists():
        return None
    try:
        return Receipt.from_dict(json.loads(path.read_text()))
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(
            f"{path.absolute()} is damaged ({error}); delete it, and its stage runs again"
        ) from error


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
