"""Which samples are shown: the first of each digit, never the best."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def first_of_each(labels: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Rows of the first `count` samples of each label, labels ascending; fewer where there are fewer."""
    rows = [np.flatnonzero(labels == label)[:count] for label in np.unique(labels)]
    return np.concatenate(rows) if rows else np.zeros(0, dtype=np.int64)
