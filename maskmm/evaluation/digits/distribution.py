"""Are the images as varied as real ones?"""

from __future__ import annotations

from torch import Tensor

from maskmm.evaluation.coverage import coverage_ratio
from maskmm.evaluation.digits.generation import NUM_CLASSES
from maskmm.evaluation.digits.samples import Samples
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
    """Share of each class among unconditional images."""
    verdicts = samples.unconditional_verdicts
    return [
        Score.of_share(
            f"unconditional images judged {digit}", verdicts == digit, floor=0.05, limit=0.15, seeds=(seed,)
        )
        for digit in range(NUM_CLASSES)
    ]
