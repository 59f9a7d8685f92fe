"""Which photographs there are, and to which split each belongs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from datamodules.corpora.packages import package_folder
from datamodules.corpora.splits import Split


class Photograph(NamedTuple):
    """A file of an installed package.

    Attributes:
        package: skimage or sklearn.
        file: its name; grey ones are used as three equal channels.
    """

    package: str
    file: str


# Whole photographs are held out, chosen by hand so that every split has colour and grey; both views of the stereo pair
# are in training.
PHOTOGRAPHS: Mapping[Split, tuple[Photograph, ...]] = {
    "train": (
        Photograph("skimage", "astronaut.png"),
        Photograph("skimage", "brick.png"),
        Photograph("skimage", "clock_motion.png"),
        Photograph("skimage", "grass.png"),
        Photograph("skimage", "gravel.png"),
        Photograph("skimage", "hubble_deep_field.jpg"),
        Photograph("skimage", "moon.png"),
        Photograph("skimage", "motorcycle_left.png"),
        Photograph("skimage", "motorcycle_right.png"),
        Photograph("skimage", "retina.jpg"),
        Photograph("skimage", "rocket.jpg"),
        Photograph("sklearn", "china.jpg"),
    ),
    "val": (Photograph("skimage", "coffee.png"), Photograph("skimage", "coins.png")),
    "test": (
        Photograph("skimage", "camera.png"),
        Photograph("skimage", "chelsea.png"),
        Photograph("sklearn", "flower.jpg"),
    ),
}

_FOLDERS = {"skimage": ("scikit-image", "data"), "sklearn": ("scikit-learn", "datasets/images")}


def path_of(photograph: Photograph) -> Path:
    """Where the file is.

    Raises:
        ValueError: its package is not installed.
    """
    distribution, folder = _FOLDERS[photograph.package]
    return package_folder(photograph.package, distribution, "the photos corpus") / folder / photograph.file


def load(photograph: Photograph, shrink: int = 1) -> Tensor:
    """(3, H, W) uint8; with `shrink` each pixel is the mean of that many squared.

    Raises:
        ValueError: its package, or the file in it, is missing.
    """
    path = path_of(photograph)
    if not path.is_file():
        raise ValueError(f"{path} is not there; this version of {photograph.package} came without it")
    with Image.open(path) as picture:
        pixels = np.array(picture.convert("RGB").reduce(shrink))
    return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()
