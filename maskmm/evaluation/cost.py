"""Rows of a table that say what a run cost."""

from __future__ import annotations

from maskmm.evaluation.scores import Score


def cost_scores(
    wall_s: float,
    cpu_s: float,
    peak_bytes: int,
    seeds: tuple[int, ...],
    max_wall_s: float = 600.0,
    max_bytes: float = 4e9,
    note: str = "",
) -> tuple[Score, Score, Score]:
    """Wall time, processor time and peak memory, pooled as the largest of several seeds.

    Args:
        wall_s: seconds on the clock.
        cpu_s: seconds of all threads and processes together.
        peak_bytes: largest resident size.
        seeds: of the run.
        max_wall_s: allowed at most.
        max_bytes: allowed at most.
        note: what the times leave out.
    """

    def row(name: str, value: float, limit: float | None) -> Score:
        return Score(name, value, 1, limit=limit, seeds=seeds, note=note, pooling="largest")

    return (
        row("wall time (s)", wall_s, max_wall_s),
        row("CPU time (s)", cpu_s, None),
        row("peak memory (GB = 10^9 bytes)", peak_bytes / 1e9, max_bytes / 1e9),
    )
