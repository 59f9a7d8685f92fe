import numpy as np
import pytest
import torch
from prdc import compute_prdc

from maskmm.evaluation.coverage import coverage_ratio, is_covered, pooled_pixels


@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize(("num_real", "num_generated"), [(60, 60), (40, 90), (30, 5)])
def test_agrees_with_prdc(k: int, num_real: int, num_generated: int) -> None:
    generator = np.random.default_rng(k + num_real)
    real = generator.normal(size=(num_real, 6))
    generated = generator.normal(0.4, 0.7, size=(num_generated, 6))
    if num_generated > k:  # prdc also wants k neighbours among the generated
        expected = compute_prdc(real, generated, nearest_k=k)["coverage"]
        assert is_covered(real, generated, k).mean() == pytest.approx(expected, abs=1e-12)


def test_by_hand() -> None:
    real = np.array([[0.0], [1.0], [2.0], [10.0]])
    # Nearest real neighbours at 1, 1, 1 and 8; the one generated point lies 0.5 from 2.0 and 7.5 from 10.0.
    assert is_covered(real, np.array([[2.5]]), 1).tolist() == [False, False, True, True]


def test_pooling_averages_tiles() -> None:
    images = torch.arange(2 * 32 * 32).view(2, 1, 32, 32).float()
    pooled = pooled_pixels(images)
    assert pooled.shape == (2, 64)
    assert pooled[1, 0] == pytest.approx(float(images[1, 0, :4, :4].mean()))


def test_ratio_is_one_for_training_images_and_small_for_one_mode() -> None:
    generator = torch.Generator().manual_seed(0)
    centres = torch.rand(4, 1, 32, 32, generator=generator)
    training = (centres.repeat(60, 1, 1, 1) + 0.2 * torch.rand(240, 1, 32, 32, generator=generator)).clamp(
        0, 1
    )
    held_out = (centres.repeat(15, 1, 1, 1) + 0.2 * torch.rand(60, 1, 32, 32, generator=generator)).clamp(
        0, 1
    )
    same = coverage_ratio(held_out, training[:60], training, seed=0)
    assert same.count == 60
    assert same.ratio > 0.9
    assert same.interval[0] <= same.ratio <= same.interval[1]
    one_mode = coverage_ratio(held_out, training[::4], training, seed=0)
    assert one_mode.ratio < 0.4
    assert coverage_ratio(held_out, training[::4], training, seed=0) == one_mode


def test_too_few_points() -> None:
    with pytest.raises(ValueError, match="5 real and 3 generated"):
        is_covered(np.zeros((5, 2)), np.zeros((3, 2)), 5)
