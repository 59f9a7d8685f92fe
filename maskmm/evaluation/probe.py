"""Linear probe: how much of a class can be read off features by a plane."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskmm.evaluation.optional import require

PENALTIES = (0.001, 0.01, 0.1, 1.0, 10.0)
_VALIDATION_SHARE = 0.2


@dataclass(frozen=True)
class Probe:
    """A fitted probe.

    Attributes:
        is_right: (n,) bool, which held-out items it names right.
        penalty: chosen inverse strength C of the penalty.
        validation: its accuracy on the inner validation part of the training set.
    """

    is_right: NDArray[np.bool_]
    penalty: float
    validation: float


def linear_probe(
    features: NDArray[np.float32],
    labels: NDArray[np.int64],
    held_out_features: NDArray[np.float32],
    held_out_labels: NDArray[np.int64],
    seed: int,
    penalties: Sequence[float] = PENALTIES,
) -> Probe:
    """Logistic regression on standardised features, fitted on the training set alone.

    The penalty is the one that does best on a fifth of the training set (the strongest among equals); the probe is then
    fitted again on all of it. Held-out items choose nothing.

    Args:
        features: (n, F) of the training items.
        labels: (n,) int64.
        held_out_features: (m, F).
        held_out_labels: (m,) int64.
        seed: of the inner split, which keeps the shares of the classes.
        penalties: values of C to choose from.

    Raises:
        ValueError: scikit-learn is not installed; features or labels of other shapes, or not finite.
    """
    for x, y in ((features, labels), (held_out_features, held_out_labels)):
        if x.ndim != 2 or y.shape != (len(x),) or x.shape[1] != features.shape[1] or not np.isfinite(x).all():
            raise ValueError(
                f"features of shape {x.shape} with labels of shape {y.shape}: expected finite (n, F) and (n,), the "
                "same F for training and held-out items"
            )
    selection = require("sklearn.model_selection", "linear_probe")
    inner, validation = selection.train_test_split(
        np.arange(len(labels)), test_size=_VALIDATION_SHARE, random_state=seed, stratify=labels
    )
    scores = [
        _fit(features[inner], labels[inner], penalty).score(features[validation], labels[validation])
        for penalty in sorted(penalties)
    ]
    best = int(np.argmax(scores))
    penalty = sorted(penalties)[best]
    verdicts = _fit(features, labels, penalty).predict(held_out_features)
    return Probe(verdicts == held_out_labels, penalty, float(scores[best]))


def _fit(features: NDArray[np.float32], labels: NDArray[np.int64], penalty: float) -> Any:
    scaler = require("sklearn.preprocessing", "linear_probe").StandardScaler()
    model = require("sklearn.linear_model", "linear_probe").LogisticRegression(C=penalty, max_iter=2000)
    return require("sklearn.pipeline", "linear_probe").make_pipeline(scaler, model).fit(features, labels)
