"""The figures of the digits model: captions, images and speech in every direction."""

from maskmm.evaluation.digits.evaluate import evaluate_digits
from maskmm.evaluation.digits.samples import Judged, Samples
from maskmm.evaluation.digits.settings import DigitSettings, EvaluationSizes

__all__ = ["DigitSettings", "EvaluationSizes", "Judged", "Samples", "evaluate_digits"]
