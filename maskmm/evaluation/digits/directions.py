"""Is the digit that was asked for there, in each direction?"""

from __future__ import annotations

import numpy as np

from maskmm.evaluation.digits.samples import Samples
from maskmm.evaluation.judges import NOTHING
from maskmm.evaluation.scores import Score


def direction_scores(samples: Samples, seed: int) -> list[Score]:
    """One row a direction, captions well-formed, and inpainting; ceilings are the judges' scores on real media."""
    image = float(samples.real_images.is_right.mean())
    speech = float(samples.real_clips.is_right.mean())

    def row(name: str, is_hit: np.ndarray, floor: float | None, ceiling: float, note: str = "") -> Score:
        return Score.of_share(name, is_hit, floor=floor, ceiling=ceiling, seeds=(seed,), note=note)

    captions = np.concatenate([samples.image_to_text.verdicts, samples.speech_to_text.verdicts])
    s = samples
    return [
        row("text -> image is the digit", s.text_to_image.is_right, 0.97, image),
        row("image -> text names the digit", s.image_to_text.is_right, 0.95, image, "held-out images"),
        row("speech -> text names the digit", s.speech_to_text.is_right, 0.95, speech, "unheard voices"),
        row("text -> speech is the word (SVM)", s.text_to_speech.is_right, 0.90, speech),
        row("image -> speech is the word (SVM)", s.image_to_speech.is_right, 0.90, speech, "held-out images"),
        row("speech -> image is the digit", s.speech_to_image.is_right, 0.90, image, "unheard voices"),
        row("captions well-formed", captions != NOTHING, 0.98, 1.0, "of images and of speech"),
        row(
            "inpainting is the digit", s.inpainting.is_right, None, image, "lower half hidden, digit not told"
        ),
    ]
