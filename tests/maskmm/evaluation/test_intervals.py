import numpy as np
import pytest
from scipy import stats

from maskmm.evaluation.intervals import bootstrap_interval, ratio_interval, wilson_interval


@pytest.mark.parametrize(("hits", "count"), [(0, 10), (10, 10), (1, 1), (97, 100), (485, 500), (7, 20)])
def test_wilson_agrees_with_scipy(hits: int, count: int) -> None:
    expected = stats.binomtest(hits, count).proportion_ci(0.95, method="wilson")
    assert wilson_interval(hits, count) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_wilson_level() -> None:
    expected = stats.binomtest(30, 40).proportion_ci(0.8, method="wilson")
    assert wilson_interval(30, 40, level=0.8) == pytest.approx((expected.low, expected.high), abs=1e-12)


@pytest.mark.parametrize(("hits", "count"), [(1, 0), (-1, 5), (6, 5)])
def test_wilson_rejects_impossible_counts(hits: int, count: int) -> None:
    with pytest.raises(ValueError, match=f"{hits} hits of {count}"):
        wilson_interval(hits, count)


def test_bootstrap_agrees_with_scipy_and_is_seeded() -> None:
    values = np.random.default_rng(3).normal(2.0, 1.0, 80)

    def mean(generator: np.random.Generator) -> float:
        return float(generator.choice(values, len(values)).mean())

    ours = bootstrap_interval(mean, seed=0, num_draws=4000)
    theirs = stats.bootstrap((values,), np.mean, n_resamples=4000, method="percentile", random_state=1)
    interval = theirs.confidence_interval
    assert ours == pytest.approx((interval.low, interval.high), abs=0.03)
    assert ours == bootstrap_interval(mean, seed=0, num_draws=4000)
    assert ours != bootstrap_interval(mean, seed=1, num_draws=4000)


def test_ratio_interval_agrees_with_scipy() -> None:
    generator = np.random.default_rng(5)
    top = (generator.random(200) < 0.8).astype(np.float64)
    bottom = (generator.random(120) < 0.95).astype(np.float64)

    def ratio(a: np.ndarray, b: np.ndarray, axis: int = -1) -> np.ndarray:
        return a.mean(axis=axis) / b.mean(axis=axis)

    theirs = stats.bootstrap((top, bottom), ratio, n_resamples=4000, method="percentile", random_state=1)
    interval = theirs.confidence_interval
    assert ratio_interval(top, bottom, 0, 4000) == pytest.approx((interval.low, interval.high), abs=0.01)


def test_ratio_needs_a_positive_denominator() -> None:
    with pytest.raises(ValueError, match="positive mean"):
        ratio_interval(np.ones(3), np.zeros(3), seed=0)
