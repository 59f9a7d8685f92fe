"""Linear probes on the model's image features and on raw pixels."""

from __future__ import annotations

from torch import Tensor

from maskmm.evaluation.digits.generation import Images
from maskmm.evaluation.digits.settings import DigitSettings
from maskmm.evaluation.probe import Probe, linear_probe
from maskmm.evaluation.scores import Score
from maskmm.pipeline import Pipeline


def probe_scores(
    pipeline: Pipeline, training: Images, held_out: Images, settings: DigitSettings, seed: int
) -> list[Score]:
    """Probe on features, whose floor is the same probe on pixels; and that probe."""

    def probe(train: Tensor, test: Tensor) -> Probe:
        return linear_probe(train.numpy(), training.labels, test.numpy(), held_out.labels, seed)

    def features(images: Tensor, layers: tuple[int, ...]) -> Tensor:
        found = pipeline.extract_features({"image": images}, layers, settings.probe_pool)["image"]
        assert isinstance(found, Tensor)
        return found.flatten(1)

    candidates = [
        (layers, probe(features(training.images, layers), features(held_out.images, layers)))
        for layers in settings.probe_layers
    ]
    # The training set chooses: validation is its inner part.
    layers, best = max(candidates, key=lambda candidate: candidate[1].validation)
    pixels = probe(training.images.flatten(1), held_out.images.flatten(1))
    raw = Score.of_share(
        "linear probe on raw pixels",
        pixels.is_right,
        seeds=(seed,),
        note=f"C = {pixels.penalty}, held-out images",
    )
    note = (
        f"layers {list(layers)}, pool {settings.probe_pool}, C = {best.penalty}; floor: the probe on pixels"
    )
    share = Score.of_share(
        "linear probe on image features", best.is_right, floor=raw.value, goal=0.97, seeds=(seed,), note=note
    )
    return [share, raw]
