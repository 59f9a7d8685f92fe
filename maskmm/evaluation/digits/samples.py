"""What one evaluation has generated: the figures are computed from it, and the gallery shows it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Judged:
    """n media made from n sources, and what a judge says of them.

    Attributes:
        sources: what they were made from: a batch of media; None where from nothing.
        labels: (n,) int64 classes asked for, -1 where none.
        media: the batch that was made.
        verdicts: (n,) int64 classes found, -1 where none.
    """

    sources: Any
    labels: NDArray[np.int64]
    media: Any
    verdicts: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.verdicts)

    @property
    def is_right(self) -> NDArray[np.bool_]:
        """(n,) bool."""
        return self.verdicts == self.labels


@dataclass(frozen=True)
class Samples:
    """All that was generated, by direction; captions are str, images (n, 1, H, W), clips lists of (T,).

    Attributes:
        text_to_image: judged by the image judge.
        text_to_speech: judged by the speech judge.
        image_to_text: held-out images; captions parsed.
        image_to_speech: held-out images; judged by the speech judge.
        speech_to_text: held-out clips; captions parsed.
        speech_to_image: held-out clips; judged by the image judge.
        image_reconstructions: held-out images through the tokenizer; labels are the true ones.
        speech_reconstructions: held-out clips through the tokenizer; labels are the true ones.
        real_images: held-out images as they are; sources is None.
        real_clips: held-out clips as they are; sources is None.
        inpainting: held-out images whose lower half was made anew; judged by the image judge.
        unconditional: captions from nothing, and images for them; judged by the image judge.
        image_alone: images from nothing, without a caption; labels are -1.
        hidden_rows: first and last + 1 pixel row that inpainting hid.
    """

    text_to_image: Judged
    text_to_speech: Judged
    image_to_text: Judged
    image_to_speech: Judged
    speech_to_text: Judged
    speech_to_image: Judged
    image_reconstructions: Judged
    speech_reconstructions: Judged
    real_images: Judged
    real_clips: Judged
    inpainting: Judged
    unconditional: Judged
    image_alone: Judged
    hidden_rows: tuple[int, int]
