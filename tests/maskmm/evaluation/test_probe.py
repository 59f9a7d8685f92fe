import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from maskmm.evaluation.probe import linear_probe


def _blobs(count: int, seed: int, spread: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    centres = np.array([[0, 0, 0, 0], [3, 0, 1, 0], [0, 3, -1, 0]], dtype=np.float32)
    scale = np.array([1.0, 10.0, 0.1, 1.0], dtype=np.float32)
    noise = generator.normal(size=(count, 4)).astype(np.float32) * spread
    return (centres[labels] + noise) * scale, labels


def test_agrees_with_scikit_learn_written_out() -> None:
    (x, y), (x_test, y_test) = _blobs(150, 0, 2.0), _blobs(60, 1, 2.0)
    probe = linear_probe(x, y, x_test, y_test, seed=0, penalties=[0.1])
    scaler = StandardScaler().fit(x)
    expected = LogisticRegression(C=0.1, max_iter=2000).fit(scaler.transform(x), y)
    assert (probe.is_right == (expected.predict(scaler.transform(x_test)) == y_test)).all()
    assert probe.penalty == 0.1


def test_held_out_items_choose_nothing() -> None:
    (x, y), (x_test, y_test) = _blobs(150, 0), _blobs(60, 1)
    first = linear_probe(x, y, x_test, y_test, seed=3)
    shuffled = linear_probe(x, y, x_test, np.roll(y_test, 1), seed=3)
    assert (first.penalty, first.validation) == (shuffled.penalty, shuffled.validation)
    assert first.is_right.mean() > 0.9


def test_seeded() -> None:
    (x, y), (x_test, y_test) = _blobs(90, 0), _blobs(30, 1)
    first, second = (linear_probe(x, y, x_test, y_test, seed=1) for _ in range(2))
    assert (first.is_right == second.is_right).all()
    assert first.validation == second.validation


def test_wrong_shapes_are_named() -> None:
    (x, y), (x_test, y_test) = _blobs(30, 0), _blobs(9, 1)
    with pytest.raises(ValueError, match=r"\(9, 3\)"):
        linear_probe(x, y, x_test[:, :3], y_test, seed=0)
    with pytest.raises(ValueError, match="finite"):
        linear_probe(x * np.nan, y, x_test, y_test, seed=0)
