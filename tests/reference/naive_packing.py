"""Packs of a token budget, sample by sample, as the docstring of `fill_packs` says it."""

from __future__ import annotations

from collections.abc import Callable, Sequence


def fill_packs(lengths: Sequence[int], rows: int, samples: int) -> tuple[list[list[int]], list[int]]:
    waiting = list(range(len(lengths)))
    packs = []
    while sum(lengths[i] for i in waiting) >= 2 * rows:
        pack: list[int] = []
        while waiting and len(pack) < samples:
            gap = rows - sum(lengths[i] for i in pack)
            is_roomy = gap > 2 * max(lengths[i] for i in waiting)
            fitting = [i for i in waiting if lengths[i] <= gap]
            if not fitting:
                break
            oldest = min(waiting)
            chosen = oldest if not pack or is_roomy else max(fitting, key=lambda i: (lengths[i], i))
            waiting.remove(chosen)
            pack.append(chosen)
        packs.append(pack)
    return packs, waiting


def packs_of_run(
    length_of_draw: Callable[[int], int], buffer_size: int, rows: int, samples: int, num_packs: int
) -> list[list[int]]:
    """Draws of the first packs of a run."""
    packs: list[list[int]] = []
    pool: list[int] = []
    drawn = 0
    while len(packs) < num_packs:
        pool += range(drawn, drawn + buffer_size)
        drawn += buffer_size
        filled, left = fill_packs([length_of_draw(d) for d in pool], rows, samples)
        packs += [[pool[i] for i in pack] for pack in filled]
        pool = [pool[i] for i in left]
    return packs[:num_packs]
