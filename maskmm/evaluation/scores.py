"""Named figures, each with sample count, 95 % interval, seeds and what was asked of it."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from maskmm.evaluation.intervals import Interval, wilson_interval
from maskmm.evaluation.provenance import Provenance

FORMAT_VERSION = 1


@dataclass(frozen=True)
class Score:
    """One figure.

    Attributes:
        name: what was measured, unique within a table.
        value: the figure.
        count: samples behind it.
        interval: 95 %; None where the figure is exact (a time, a share of a codebook).
        floor: the value that is asked for at least.
        limit: the value that is allowed at most.
        goal: aimed at, above the floor.
        ceiling: what real media reach by the same measure.
        seeds: seeds it was measured with.
        note: how, in a few words.
        pooling: how several seeds become one figure: "share" adds hits and counts, "mean" weighs by count, "largest"
            takes the largest.
    """

    name: str
    value: float
    count: int
    interval: Interval | None = None
    floor: float | None = None
    limit: float | None = None
    goal: float | None = None
    ceiling: float | None = None
    seeds: tuple[int, ...] = ()
    note: str = ""
    pooling: Literal["share", "mean", "largest"] = "mean"

    @classmethod
    def of_share(cls, name: str, is_hit: NDArray[np.bool_] | Sequence[bool], **fields: Any) -> Score:
        """The share of True in (n,) bools, with its Wilson interval; `fields` are the other attributes.

        Raises:
            ValueError: no samples.
        """
        hits, count = int(np.sum(is_hit)), len(is_hit)
        interval = wilson_interval(hits, count)
        return cls(name, hits / count, count, interval, pooling="share", **fields)

    @property
    def is_met(self) -> bool | None:
        """Whether floor and limit hold; None where neither was set. A NaN meets nothing."""
        if self.floor is None and self.limit is None:
            return None
        return self.value >= (-math.inf if self.floor is None else self.floor) and self.value <= (
            math.inf if self.limit is None else self.limit
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready dictionary, `is_met` included."""
        return asdict(self) | {"is_met": self.is_met}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Score:
        """Inverse of `to_dict`."""
        values = {name: value for name, value in data.items() if name != "is_met"}
        interval = values["interval"]
        values |= {"interval": None if interval is None else tuple(interval), "seeds": tuple(values["seeds"])}
        return cls(**values)


@dataclass(frozen=True)
class Scores:
    """A table of figures and how they came about.

    Attributes:
        rows: figures, names unique.
        provenance: command, hardware, package versions.
        settings: JSON-ready settings of the evaluation.

    Raises:
        ValueError: a name twice.
    """

    rows: tuple[Score, ...]
    provenance: Provenance
    settings: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        names = [row.name for row in self.rows]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"scores named twice: {twice}; give each figure its own name")

    def __iter__(self) -> Iterator[Score]:
        return iter(self.rows)

    def __getitem__(self, name: str) -> Score:
        for row in self.rows:
            if row.name == name:
                return row
        raise KeyError(f"no score {name!r}; there are {[row.name for row in self.rows]}")

    def with_rows(self, *rows: Score) -> Scores:
        """The same table with further rows at its end."""
        return replace(self, rows=(*self.rows, *rows))

    @property
    def missed(self) -> tuple[Score, ...]:
        """Rows whose floor or limit does not hold."""
        return tuple(row for row in self.rows if row.is_met is False)

    def write(self, path: Path | str) -> None:
        """Write scores.json, whole or not at all."""
        path = Path(path)
        data = {
            "format_version": FORMAT_VERSION,
            **asdict(self.provenance),
            "seeds": sorted({seed for row in self.rows for seed in row.seeds}),
            "settings": self.settings,
            "rows": [row.to_dict() for row in self.rows],
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        partial.write_text(json.dumps(data, indent=2) + "\n")
        partial.replace(path)

    @classmethod
    def read(cls, path: Path | str) -> Scores:
        """Inverse of `write`.

        Raises:
            ValueError: no such file, not a scores file, or another format version.
        """
        try:
            data = json.loads(Path(path).read_text())
            version = data["format_version"]
            if version != FORMAT_VERSION:
                raise ValueError(
                    f"{path}: format_version {version}, this version of maskmm reads {FORMAT_VERSION}"
                )
            provenance = Provenance(data["command"], data["hardware"], data["packages"])
            return cls(tuple(Score.from_dict(row) for row in data["rows"]), provenance, data["settings"])
        except (OSError, json.JSONDecodeError, KeyError, TypeError) as error:
            raise ValueError(f"{path} is not a scores file written by Scores.write: {error!r}") from error


def pool(tables: Sequence[Scores], provenance: Provenance) -> Scores:
    """One table of several seeds: the same rows, each pooled as it says.

    Args:
        tables: one for each seed.
        provenance: of the pooled run.

    Raises:
        ValueError: no tables, or tables with different rows.
    """
    names = [[row.name for row in table] for table in tables]
    if not tables or any(other != names[0] for other in names):
        raise ValueError(
            f"tables with rows {names} cannot be pooled: give at least one, all with the same rows"
        )
    rows = tuple(_pool_rows(parts) for parts in zip(*tables, strict=True))
    return Scores(rows, provenance, {"pooled": [table.settings for table in tables]})


def _pool_rows(rows: Sequence[Score]) -> Score:
    first, count = rows[0], sum(row.count for row in rows)
    weights = [row.count / count for row in rows]

    def mean(values: Sequence[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        return sum(w * v for w, v in zip(weights, known)) if len(known) == len(rows) else None

    value: float = mean([row.value for row in rows])  # type: ignore[assignment]
    intervals = [row.interval for row in rows if row.interval is not None]
    interval: Interval | None = None
    if first.pooling == "largest":
        value = max(row.value for row in rows)
    elif first.pooling == "share":
        hits = sum(round(row.value * row.count) for row in rows)
        value, interval = hits / count, wilson_interval(hits, count)
    elif len(intervals) == len(rows):
        # Seeds are independent, so the squares of the half-widths add.
        half = [
            math.sqrt(
                sum((w * (row.value - ends[side])) ** 2 for w, row, ends in zip(weights, rows, intervals))
            )
            for side in (0, 1)
        ]
        interval = (value - half[0], value + half[1])
    # A floor or ceiling that was itself measured (a probe on pixels, a judge) differs from seed to seed.
    return replace(
        first,
        value=value,
        count=count,
        interval=interval,
        floor=mean([row.floor for row in rows]),
        limit=mean([row.limit for row in rows]),
        goal=mean([row.goal for row in rows]),
        ceiling=mean([row.ceiling for row in rows]),
        seeds=tuple(sorted({seed for row in rows for seed in row.seeds})),
    )
