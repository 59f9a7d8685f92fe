"""How much the evaluation of digits generates, and how."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Pool = Literal["mean", "cls", "map"]

MAX_STEPS = 12
"""Steps that text -> image may take for its figure to count."""


@dataclass(frozen=True)
class EvaluationSizes:
    """Samples of each kind.

    Args:
        text_to_image: images from captions.
        text_to_speech: clips from captions.
        unconditional: pairs of a caption and its image from nothing, and as many images without a caption.
        inpainting: held-out images whose lower half is made anew.
        held_out: most held-out images, and most held-out clips; None takes all.
        training: most training images of the linear probes, and most training clips whose diversity is measured;
            None takes all. Judges always see the whole training split.

    Raises:
        ValueError: fewer than one sample for each digit, or two where distances within a word are measured.
    """

    text_to_image: int = 500
    text_to_speech: int = 200
    unconditional: int = 500
    inpainting: int = 50
    held_out: int | None = None
    training: int | None = None

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            least, why = (20, "two") if name in ("text_to_speech", "training") else (10, "one")
            if value is not None and value < least:
                raise ValueError(f"{name}={value}: expected at least {least}, {why} for each digit")


def _steps() -> dict[str, Any]:
    return {"num_steps": MAX_STEPS}


@dataclass(frozen=True)
class DigitSettings:
    """Settings of `Pipeline.generate` in each direction, and which features are probed.

    A direction's mapping holds fields of `GenerationSettings`; they win over the checkpoint's own defaults.

    Args:
        text_to_image: captions to images.
        text_to_speech: captions to clips.
        image_to_text: images to captions.
        image_to_speech: images to clips.
        speech_to_text: clips to captions.
        speech_to_image: clips to images.
        unconditional_text: nothing to captions.
        unconditional: those captions to images: a sample of both from nothing, by the chain rule.
        image_alone: nothing to images.
        inpainting: upper halves to whole images.
        probe_layers: candidates, each a list of layers whose features lie side by side; the inner validation part of
            the training set picks one.
        probe_pool: pooling of the features; a "map" keeps places apart, as the probe on pixels does.

    Raises:
        ValueError: text_to_image without num_steps, or with more than MAX_STEPS; no probe_layers.
    """

    text_to_image: Mapping[str, Any] = field(default_factory=_steps)
    text_to_speech: Mapping[str, Any] = field(default_factory=_steps)
    image_to_text: Mapping[str, Any] = field(default_factory=_steps)
    image_to_speech: Mapping[str, Any] = field(default_factory=_steps)
    speech_to_text: Mapping[str, Any] = field(default_factory=_steps)
    speech_to_image: Mapping[str, Any] = field(default_factory=_steps)
    unconditional_text: Mapping[str, Any] = field(default_factory=_steps)
    unconditional: Mapping[str, Any] = field(default_factory=_steps)
    image_alone: Mapping[str, Any] = field(default_factory=_steps)
    inpainting: Mapping[str, Any] = field(default_factory=_steps)
    probe_layers: tuple[tuple[int, ...], ...] = ((-1,),)
    probe_pool: Pool = "mean"

    def __post_init__(self) -> None:
        steps = self.text_to_image.get("num_steps")
        if steps is None or steps > MAX_STEPS:
            raise ValueError(
                f"text_to_image num_steps={steps}: its figure is defined for at most {MAX_STEPS} steps; state how many"
            )
        if not self.probe_layers:
            raise ValueError("probe_layers is empty; give at least one list of layers, such as (-1,)")
