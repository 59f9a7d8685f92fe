"""Are the images as varied as real ones?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from maskmm.evaluation.coverage import coverage_ratio
from maskmm.evaluation.digits.generation import NUM_CLASSES
from maskmm.evaluation.digits.samples import Judged, Samples
from maskmm.evaluation.scores import Score


def coverage_score(samples: Samples, training: Tensor, seed: int) -> Score:
    """Coverage of the held-out images by the very images that were scored for text -> image.

    Args:
        samples: generated and held-out images.
        training: (n, 1, H, W) real training images, unaugmented: what is compared with.
        seed: of the draws.
    """
    found = coverage_ratio(samples.real_images.media, samples.text_to_image.media, training, seed)
    return Score(
        "text -> image coverage (training images = 1)",
        found.ratio,
        found.count,
        found.interval,
        floor=0.85,
        ceiling=1.0,
        seeds=(seed,),
        note=f"{found.generated:.3f} against {found.training:.3f}; k = 5, 8 x 8 pooled pixels, mean of 3 draws",
    )


def class_scores(samples: Samples, seed: int) -> list[Score]:
    """Share of each class among images from nothing: those whose caption was drawn first, and those without."""
    note = "a caption from nothing, then its image"
    shares = [
        Score.of_share(
            f"unconditional images judged {digit}", is_it, floor=0.05, limit=0.15, seeds=(seed,), note=note
        )
        for digit, is_it in enumerate(_is_class(samples.unconditional))
    ]
    alone = [
        Score.of_share(f"images without a caption judged {digit}", is_it, seeds=(seed,), note="from nothing")
        for digit, is_it in enumerate(_is_class(samples.image_alone))
    ]
    return shares + alone


def _is_class(made: Judged) -> list[NDArray[np.bool_]]:
    return [made.verdicts == digit for digit in range(NUM_CLASSES)]
