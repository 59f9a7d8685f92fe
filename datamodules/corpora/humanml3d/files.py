"""Arrays and lists of names in a HumanML3D folder, checked as they are read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

WIDTH = 263
"""Numbers of a pose; tokenizers_vq.motion.HumanML3DFeatures says which."""

RATE = 20.0
"""Poses a second."""


def read_array(path: Path, num_axes: int) -> Tensor:
    """Numbers of an .npy file: (263,) or (T, 263), float32.

    Raises:
        ValueError: no readable file without pickled objects, another shape or no real numbers, NaN or infinity.
    """
    try:
        values = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ValueError(f"{path} is no readable .npy file of numbers ({error})") from error
    expected = "(T, 263)" if num_axes == 2 else "(263,)"
    if not isinstance(values, np.ndarray) or values.ndim != num_axes or values.shape[-1] != WIDTH:
        raise ValueError(
            f"{path} has the shape {getattr(values, 'shape', 'of an archive')}, expected {expected}; KIT-ML's 251 "
            "numbers a pose are another layout"
        )
    if values.dtype.kind != "f" or values.size == 0:
        raise ValueError(
            f"{path} holds {values.size} numbers of dtype {values.dtype}, expected floats in {expected}"
        )
    if not np.isfinite(values).all():
        bad = np.unique(np.argwhere(~np.isfinite(values))[:, 0])[:5].tolist()
        raise ValueError(f"{path} holds NaN or infinite values (rows {bad} ...), expected finite numbers")
    return torch.from_numpy(values.astype(np.float32))


def read_names(path: Path) -> list[str]:
    """Names of motions, one a line.

    Raises:
        ValueError: no readable file, no names, a name twice, or one that would leave the folder.
    """
    try:
        names = path.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no readable list of names ({error})") from error
    if not names:
        raise ValueError(f"{path} lists no motion, expected one name a line")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{path} lists {twice!r} twice, expected each name once")
    stray = [name for name in names if Path(name).name != name or name.startswith(".")]
    if stray:
        raise ValueError(f"{path} lists {stray[0]!r}, expected plain names without folders or suffix")
    return names
