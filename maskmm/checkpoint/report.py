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
        return [f"{self.source}: {counts}", *(f"{what}: {brief(names)}" for what, names in groups if names)]

    def log(self) -> LoadReport:
        """Write the lines to the log; returns the report itself."""
        for line in self.lines():
            _log.info("%s", line)
        return self


def brief(names: Iterable[str]) -> str:
    """All names, those that differ in numbers alone written once: "blocks.{}.ffn.up.weight (12)"."""
    alike: dict[str, list[str]] = {}
    for name in names:
        parts = ["{}" if part.isdigit() else part for part in name.split(".")]
        alike.setdefault(".".join(parts), []).append(name)
    return ", ".join(f"{form} ({len(of)})" if len(of) > 1 else of[0] for form, of in alike.items())
