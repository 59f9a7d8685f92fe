import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from torch import Tensor

from maskmm.evaluation.diversity import pairwise_distance, word_diversity
from maskmm.evaluation.log_mel import log_mel_features


def _tone(frequency: float, seconds: float = 0.2) -> Tensor:
    time = torch.arange(int(16_000 * seconds)) / 16_000
    return 0.5 * torch.sin(2 * torch.pi * frequency * time)


def test_distance_agrees_with_scipy() -> None:
    features = np.random.default_rng(0).normal(size=(7, 20)).astype(np.float32)
    expected = cdist(features, features) / np.sqrt(20)
    assert pairwise_distance(features) == pytest.approx(expected, abs=1e-6)


def test_value_is_the_mean_over_words_of_the_mean_over_pairs() -> None:
    clips = [_tone(f) for f in (200, 400, 800, 300, 350, 900)]
    labels = np.array([0, 0, 0, 1, 1, 2])  # word 2 has one clip and no pair
    x = log_mel_features(clips)

    def pair(a: int, b: int) -> float:
        return float(np.sqrt(np.mean((x[a] - x[b]).astype(np.float64) ** 2)))

    expected = np.mean([np.mean([pair(0, 1), pair(0, 2), pair(1, 2)]), pair(3, 4)])
    found = word_diversity(clips, labels, seed=0)
    assert found.value == pytest.approx(expected, rel=1e-5)
    assert found.count == 5


def test_one_template_per_word_has_none() -> None:
    clips = [_tone(200), _tone(200), _tone(500), _tone(500)]
    found = word_diversity(clips, np.array([0, 0, 1, 1]), seed=0)
    assert found.value == pytest.approx(0.0, abs=1e-5)


def test_interval_holds_the_value() -> None:
    clips = [_tone(f) for f in range(200, 1200, 50)]
    found = word_diversity(clips, np.arange(20) % 2, seed=0)
    assert found.interval[0] < found.value < found.interval[1]


def test_two_clips_a_word_have_one_distance_and_an_exact_interval() -> None:
    found = word_diversity([_tone(200), _tone(900)], np.array([0, 0]), seed=0)
    assert found.interval == pytest.approx((found.value, found.value))


def test_nothing_to_compare() -> None:
    with pytest.raises(ValueError, match="no word has two clips"):
        word_diversity([_tone(200), _tone(300)], np.array([0, 1]), seed=0)
