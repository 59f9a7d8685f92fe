"""Coverage: how much of a set of real images the generated ones reach."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from maskmm.evaluation.intervals import Interval, bootstrap_interval

NUM_NEIGHBOURS = 5


def pooled_pixels(images: Tensor, size: int = 8) -> NDArray[np.float64]:
    """(n, C * size * size) float64 of images (n, C, H, W), averaged over equal tiles."""
    return F.adaptive_avg_pool2d(images.float().cpu(), size).flatten(1).double().numpy()


def _distances(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    squares = (a * a).sum(1)[:, None] + (b * b).sum(1)[None, :] - 2.0 * a @ b.T
    return np.sqrt(np.maximum(squares, 0.0))


def is_covered(
    real: NDArray[np.float64], generated: NDArray[np.float64], num_neighbours: int = NUM_NEIGHBOURS
) -> NDArray[np.bool_]:
    """Which real points have a generated one nearer than their k-th nearest real neighbour.

    The mean is the coverage of Naeem et al., "Reliable fidelity and diversity metrics for generative models" (2020).

    Args:
        real: (n, F).
        generated: (m, F).
        num_neighbours: k; the point itself does not count.

    Returns:
        (n,) bool.

    Raises:
        ValueError: k real neighbours do not exist, or nothing was generated.
    """
    if not 1 <= num_neighbours < len(real) or not len(generated):
        raise ValueError(
            f"{len(real)} real and {len(generated)} generated points with k={num_neighbours}: expected more than k "
            "real points and at least one generated"
        )
    among_real = _distances(real, real)
    np.fill_diagonal(among_real, np.inf)
    radius = np.partition(among_real, num_neighbours - 1, axis=1)[:, num_neighbours - 1]
    return _distances(real, generated).min(axis=1) < radius


@dataclass(frozen=True)
class CoverageRatio:
    """Coverage of held-out images, beside that of as many training images.

    Attributes:
        generated: coverage by generated images, mean of the draws.
        training: coverage by training images, mean of the draws.
        interval: 95 % of generated / training, bootstrap over the held-out images.
        count: held-out images, and images in each draw.
    """

    generated: float
    training: float
    interval: Interval
    count: int

    @property
    def ratio(self) -> float:
        """Coverage by generated images, training images = 1."""
        return self.generated / self.training


def coverage_ratio(
    held_out: Tensor, generated: Tensor, training: Tensor, seed: int, num_draws: int = 3
) -> CoverageRatio:
    """Coverage of held-out images by as many generated ones, against as many training images.

    Args:
        held_out: (n, C, H, W) real images.
        generated: (m, C, H, W), drawn from without replacement; all of them where m <= n.
        training: (p, C, H, W) real images, p >= n.
        seed: of the draws.
        num_draws: draws that are averaged.

    Raises:
        ValueError: too few images.
    """
    real, count = pooled_pixels(held_out), len(held_out)
    generator = np.random.default_rng(seed)

    def share(images: Tensor) -> NDArray[np.float64]:
        pool = pooled_pixels(images)
        draws = [generator.permutation(len(pool))[:count] for _ in range(num_draws)]
        return np.mean([is_covered(real, pool[rows]) for rows in draws], axis=0)

    ours, theirs = share(generated), share(training)
    if theirs.mean() == 0.0:
        raise ValueError(
            f"{len(training)} training images cover none of {count} held-out images: nothing to compare with"
        )

    def resample(generator: np.random.Generator) -> float:
        rows = generator.integers(0, count, count)  # the same held-out images above and below the line
        return float(ours[rows].mean() / max(theirs[rows].mean(), 0.5 / count))

    interval = bootstrap_interval(resample, seed, num_draws=1000)
    return CoverageRatio(float(ours.mean()), float(theirs.mean()), interval, count)
