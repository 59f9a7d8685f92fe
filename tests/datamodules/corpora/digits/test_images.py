import sys

import pytest
import torch

from datamodules.corpora.digits.images import augment, load_images
from tokenizers_vq.contract import Key


def test_real_digits_in_range() -> None:
    images, labels = load_images()
    assert images.shape == (1797, 1, 32, 32) and images.dtype == torch.float32
    assert images.min() >= 0.0 and images.max() <= 1.0 and images.max() > 0.9
    assert labels.shape == (1797,) and labels.bincount().tolist() == [
        178,
        182,
        177,
        183,
        181,
        182,
        181,
        179,
        174,
        180,
    ]


def test_pooling_gives_the_original_back() -> None:
    images, _ = load_images()
    from sklearn.datasets import load_digits

    small = torch.from_numpy(load_digits().images).float() / 16.0
    pooled = torch.nn.functional.avg_pool2d(images, 4)[:, 0]
    assert (pooled - small).abs().mean() < 0.08


def test_augmentation_depends_on_step_and_sample_alone() -> None:
    images, _ = load_images()
    key, ids = Key(3, step=5), torch.arange(100, 116)
    whole = augment(images[:16], key, ids)
    assert torch.equal(whole, augment(images[:16], key, ids))
    torch.testing.assert_close(augment(images[4:5], key, ids[4:5]), whole[4:5])
    assert not torch.allclose(whole, augment(images[:16], key.at(6), ids))
    assert not torch.allclose(whole, augment(images[:16], key, ids + 16))


def test_augmentation_is_light() -> None:
    images, _ = load_images()
    moved = augment(images, Key(0), torch.arange(len(images)))
    assert moved.shape == images.shape and moved.min() >= 0.0 and moved.max() <= 1.0
    ink, moved_ink = images.sum(dim=(1, 2, 3)), moved.sum(dim=(1, 2, 3))
    assert (moved_ink / ink).min() > 0.75 and (moved_ink / ink).max() < 1.25
    assert 0.02 < (moved - images).abs().mean() < 0.15


def test_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ValueError, match=r'scikit-learn: pip install "maskmm\[corpora\]"'):
        load_images()
