"""What became of each name when weights were loaded into a model."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LoadReport:
    """Names by what became of them.

    Attributes:
        source: where the weights came from.
        loaded: the model's weights that were filled from it.
        new: the model's weights that it had nothing for; they keep their initial values.
        ignored: its weights that the model has no place for.
    """

    source: str
    loaded: tuple[str, ...]
    new: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, source: str, loaded: Iterable[str], new: Iterable[str] = (), ignored: Iterable[str] = ()
    ) -> LoadReport:
        """A report with its names in order."""
        return cls(source, tuple(sorted(loaded)), tuple(sorted(new)), tuple(sorted(ignored)))

    def lines(self) -> list[str]:
        """One line for the counts, then one for each group of names; numbered layers are written once, with {}."""
        counts = f"{len(self.loaded)} weights loaded, {len(self.new)} new, {len(self.ignored)} ignored"
        groups = (("loaded", self.loaded), ("new", self.new), ("ignored", self.ignored))
        return [f"{self.source}: {counts}", *(f"{what}: {_brief(names)}" for what, names in groups if names)]

    def log(self) -> LoadReport:
        """Write the lines to the log; returns the report itself."""
        for line in self.lines():
            _log.info("%s", line)
        return self


def _brief(names: Iterable[str]) -> str:
    patterns: dict[str, int] = {}
    for name in names:
        parts = ["{}" if part.isdigit() else part for part in name.split(".")]
        patterns[".".join(parts)] = patterns.get(".".join(parts), 0) + 1
    return ", ".join(f"{pattern} ({count})" if count > 1 else pattern for pattern, count in patterns.items())
