"""95 % intervals: Wilson for shares, bootstrap for everything else."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

Interval = tuple[float, float]

LEVEL = 0.95


def wilson_interval(num_hits: int, count: int, level: float = LEVEL) -> Interval:
    """Score interval of a share (Wilson, "Probable inference", 1927), right also at 0 and 1.

    Args:
        num_hits: successes, 0 to `count`.
        count: trials, at least 1.
        level: confidence level.

    Raises:
        ValueError: counts out of range.
    """
    if count < 1 or not 0 <= num_hits <= count:
        raise ValueError(f"{num_hits} hits of {count}: expected 1 trial or more and 0 to {count} hits")
    z = NormalDist().inv_cdf(0.5 + level / 2)
    share = num_hits / count
    scale = 1.0 / (1.0 + z * z / count)
    middle = (share + z * z / (2 * count)) * scale
    half = z * scale * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    # At the ends the formula gives 0 and 1 but for rounding.
    low = 0.0 if num_hits == 0 else middle - half
    high = 1.0 if num_hits == count else middle + half
    return low, high


def bootstrap_interval(
    resample: Callable[[np.random.Generator], float], seed: int, num_draws: int
) -> Interval:
    """Percentile bootstrap (Efron, "Bootstrap methods", 1979) at 95 %.

    Args:
        resample: draws items with replacement from the generator and returns the figure on them.
        seed: of the generator.
        num_draws: resamples, at least 1.
    """
    generator = np.random.default_rng(seed)
    values = [resample(generator) for _ in range(num_draws)]
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def ratio_interval(top: NDArray[Any], bottom: NDArray[Any], seed: int, num_draws: int = 1000) -> Interval:
    """Bootstrap interval of the ratio of the means of two independent samples.

    Args:
        top: (n,) numbers or bools.
        bottom: (m,) numbers or bools.
        seed: of the draws.
        num_draws: resamples.

    Raises:
        ValueError: an empty sample, or one below the line whose mean is not positive.
    """
    if not len(top) or not len(bottom) or bottom.mean() <= 0:
        raise ValueError(
            f"ratio of {len(top)} values to {len(bottom)}: both need values, and the second a positive mean"
        )

    def resample(generator: np.random.Generator) -> float:
        above = top[generator.integers(0, len(top), len(top))].mean()
        below = bottom[generator.integers(0, len(bottom), len(bottom))].mean()
        # A resample without a single hit below the line says nothing; half a hit keeps the ratio finite.
        return float(above / max(below, 0.5 / len(bottom)))

    return bootstrap_interval(resample, seed, num_draws)
