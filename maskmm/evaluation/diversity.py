"""Diversity of speech: does the model say a word in many ways, or in one?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from maskmm.evaluation.intervals import Interval, bootstrap_interval
from maskmm.evaluation.log_mel import log_mel_features


@dataclass(frozen=True)
class Diversity:
    """Mean pairwise distance within a word.

    Attributes:
        value: mean over words of the mean over pairs of clips, root mean square difference of log-mel in nats.
        interval: 95 %, bootstrap over the clips of each word.
        count: clips.
    """

    value: float
    interval: Interval
    count: int


def word_diversity(waveforms: Sequence[Tensor], labels: Tensor | NDArray[np.int64], seed: int) -> Diversity:
    """How far apart clips of one word lie, with the time axis stretched to one length.

    Args:
        waveforms: list of n (T,) float clips at 16 kHz.
        labels: (n,) int64 words; words with one clip are left out.
        seed: of the bootstrap.

    Raises:
        ValueError: no word has two clips, or a clip that is empty or not finite.
    """
    words = np.asarray(labels)
    features = log_mel_features(waveforms)
    squares = [pairwise_distance(features[words == word]) for word in np.unique(words)]
    squares = [square for square in squares if len(square) > 1]
    if not squares:
        raise ValueError(
            f"{len(words)} clips of {len(np.unique(words))} words: no word has two clips to compare"
        )

    def resample(generator: np.random.Generator) -> float:
        return float(np.mean([_mean_pair(s, _resampled(generator, len(s))) for s in squares]))

    value = float(np.mean([_mean_pair(square, np.arange(len(square))) for square in squares]))
    count = sum(len(square) for square in squares)
    return Diversity(value, bootstrap_interval(resample, seed, num_draws=200), count)


def pairwise_distance(features: NDArray[np.float32]) -> NDArray[np.float64]:
    """(n, n) root mean square differences of the rows of features (n, F)."""
    x = features.astype(np.float64)
    norm = (x * x).sum(1)
    squares = np.maximum(norm[:, None] + norm[None, :] - 2.0 * x @ x.T, 0.0) / x.shape[1]
    np.fill_diagonal(squares, 0.0)
    return np.sqrt(squares)


def _resampled(generator: np.random.Generator, count: int) -> NDArray[np.int64]:
    """(count,) clips drawn with replacement, at least two of them different: one clip alone has no pairs."""
    index = generator.integers(0, count, count)
    while (index == index[0]).all():
        index = generator.integers(0, count, count)
    return index


def _mean_pair(square: NDArray[np.float64], index: NDArray[np.int64]) -> float:
    """Mean distance over pairs of different clips; a clip drawn twice is no pair with itself."""
    differs = index[:, None] != index[None, :]
    return float(square[np.ix_(index, index)][differs].mean())
