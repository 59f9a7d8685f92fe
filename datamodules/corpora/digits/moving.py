"""Videos of real handwritten digits that move straight across a dark ground."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from datamodules.corpora.digits.corpus import DigitsCorpus
from datamodules.corpora.digits.images import SIZE as DIGIT_SIZE
from datamodules.corpora.digits.moving_captions import DIRECTIONS, moving_caption, num_captions
from tokenizers_vq.contract import Key

_SLOWEST = 0.4  # share of the room that a digit crosses at least


@dataclass(frozen=True)
class Courses:
    """Where B digits go.

    Attributes:
        image: (B,) int64 rows of `DigitsCorpus.images(split)`.
        label: (B,) int64 digits.
        direction: (B,) int64 places in moving_captions.NAMES.
        wording: (B,) int64 which caption.
        start: (B, 2) float32 pixels from the left and the top to the digit's corner in the first frame.
        step: (B, 2) float32 pixels a frame.
    """

    image: Tensor
    label: Tensor
    direction: Tensor
    wording: Tensor
    start: Tensor
    step: Tensor

    def captions(self) -> list[str]:
        """A caption of each."""
        rows = torch.stack([self.label, self.direction, self.wording], dim=1)
        return [moving_caption(digit, direction, wording) for digit, direction, wording in rows.tolist()]


class MovingDigits:
    """Digits of the corpus on straight courses; a digit never leaves the picture.

    Args:
        corpus: the images and their splits.
        length: frames. 17 are one and sixteen more, as in the actions corpus.
        size: pixels of a side.

    Raises:
        ValueError: fewer than two frames, or a picture hardly larger than a digit.
    """

    rate: ClassVar[float] = 30.0

    def __init__(self, corpus: DigitsCorpus, length: int = 17, size: int = 64) -> None:
        if length < 2 or size < DIGIT_SIZE + 8:
            raise ValueError(f"length={length}, size={size}: expected at least 2 and {DIGIT_SIZE + 8}")
        self.corpus = corpus
        self.length = length
        self.size = size

    def draw(self, split: str, key: Key, sample_id: Tensor) -> Courses:
        """A digit, a direction, a speed, a start and a wording for each sample, all uniform.

        Args:
            split: train, val or test.
            key: seed and step.
            sample_id: (B,) int64; a sample's course depends on the key and its own id alone.

        Raises:
            ValueError: an unknown split, or scikit-learn is not installed.
        """
        labels = self.corpus.images(split).labels
        key = key.fold("moving")
        image = key.fold("image").integers(len(labels), sample_id)
        direction = key.fold("direction").integers(len(DIRECTIONS), sample_id)
        wording = key.fold("wording").integers(num_captions, sample_id)
        draw = key.fold("course").uniform(sample_id[:, None], torch.arange(3)).float()
        room = float(self.size - DIGIT_SIZE)
        way = room * (_SLOWEST + (1.0 - _SLOWEST) * draw[:, :1]) * self._signs(direction)
        # Any start from which the whole way lies inside.
        low, high = (-way).clamp(min=0.0), room - way.clamp(min=0.0)
        start = low + draw[:, 1:] * (high - low)
        return Courses(image, labels[image], direction, wording, start, way / (self.length - 1))

    def videos(self, split: str, courses: Courses) -> Tensor:
        """(B, length, 1, size, size) float32 in [0, 1], bright ink on dark; between pixels bilinear."""
        images = self.corpus.images(split).images[courses.image]
        frames = torch.arange(self.length, dtype=torch.float32)
        corner = courses.start[:, None] + frames[:, None] * courses.step[:, None]  # (B, T, 2)
        centres = torch.arange(self.size) + 0.5
        # Where each pixel looks in the digit's own picture, -1 to 1 from edge to edge; outside is dark.
        place = (centres - corner[..., None]) * (2.0 / DIGIT_SIZE) - 1.0  # (B, T, 2, size)
        shape = (*place.shape[:2], self.size, self.size)
        grid = torch.stack(
            [place[:, :, 0, None, :].expand(shape), place[:, :, 1, :, None].expand(shape)], dim=-1
        )
        source = images[:, None].expand(-1, self.length, -1, -1, -1).flatten(0, 1)
        drawn = F.grid_sample(source, grid.flatten(0, 1), padding_mode="zeros", align_corners=False)
        return drawn.unflatten(0, shape[:2])

    @staticmethod
    def _signs(direction: Tensor) -> Tensor:
        return torch.tensor(list(DIRECTIONS.values()), dtype=torch.float32)[direction]
