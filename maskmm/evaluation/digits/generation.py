"""Runs a pipeline in every direction between captions, images and clips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from maskmm.evaluation.digits.corpus import CaptionGrammar, DigitCorpus
from maskmm.evaluation.digits.samples import Judged, Samples
from maskmm.evaluation.digits.settings import DigitSettings, EvaluationSizes
from maskmm.evaluation.judges import NOTHING, ImageJudge, SpeechJudge
from maskmm.pipeline import Edit, Pipeline
from tokenizers_vq.contract import Key

NUM_CLASSES = 10


class Images(NamedTuple):
    """Labelled images: (n, 1, H, W) and (n,) int64."""

    images: Tensor
    labels: NDArray[np.int64]


class Clips(NamedTuple):
    """Labelled clips: n tensors (T,) and (n,) int64."""

    waveforms: list[Tensor]
    labels: NDArray[np.int64]


def images_of(corpus: DigitCorpus, split: str, most: int | None, key: Key) -> Images:
    """Images of a split, at most so many, picked at random by the key."""
    part = corpus.images(split)
    rows = _pick(len(part.labels), most, key)
    return Images(part.images[rows], part.labels[rows].numpy())


def clips_of(corpus: DigitCorpus, split: str, most: int | None, key: Key) -> Clips:
    """Clips of a split, at most so many, picked at random by the key."""
    part = corpus.speech(split)
    rows = _pick(len(part.labels), most, key)
    return Clips([part.waveforms[row] for row in rows.tolist()], part.labels[rows].numpy())


def _pick(count: int, most: int | None, key: Key) -> Tensor:
    return key.uniform(torch.arange(count)).argsort(stable=True)[:most].sort().values


@dataclass(frozen=True)
class SampleMaker:
    """Generates in every direction.

    Args:
        pipeline: with the modalities "text", "image" and "speech".
        captions: grammar of the captions.
        image_judge: of generated images.
        speech_judge: of generated clips.
        settings: of each direction.
        key: seed; every direction draws from a stream of its own.
    """

    pipeline: Pipeline
    captions: CaptionGrammar
    image_judge: ImageJudge
    speech_judge: SpeechJudge
    settings: DigitSettings
    key: Key

    def make(self, sizes: EvaluationSizes, images: Images, clips: Clips) -> Samples:
        """All samples.

        Args:
            sizes: how many of each kind.
            images: held-out images.
            clips: held-out clips.
        """
        texts, asked = self.ask("text_to_image", sizes.text_to_image)
        spoken_texts, spoken = self.ask("text_to_speech", sizes.text_to_speech)
        inpainting, hidden_rows = self._inpaint(images, sizes.inpainting)
        return Samples(
            text_to_image=self._direction("text_to_image", texts, asked),
            text_to_speech=self._direction("text_to_speech", spoken_texts, spoken),
            image_to_text=self._direction("image_to_text", *images),
            image_to_speech=self._direction("image_to_speech", *images),
            speech_to_text=self._direction("speech_to_text", *clips),
            speech_to_image=self._direction("speech_to_image", *clips),
            image_reconstructions=self._reconstruct("image", *images),
            speech_reconstructions=self._reconstruct("speech", *clips),
            real_images=Judged(None, images.labels, images.images, self.image_judge.predict(images.images)),
            real_clips=Judged(
                None, clips.labels, clips.waveforms, self.speech_judge.predict(clips.waveforms)
            ),
            inpainting=inpainting,
            unconditional=self._unconditional(sizes.unconditional),
            image_alone=self._image_alone(sizes.unconditional),
            hidden_rows=hidden_rows,
        )

    def ask(self, direction: str, count: int) -> tuple[list[str], NDArray[np.int64]]:
        """Captions of digits 0 to 9 in turn, wordings drawn at random; and the digits."""
        index = torch.arange(count)
        wordings = self.key.fold(f"{direction} wording").integers(self.captions.num_captions, index)
        digits = index % NUM_CLASSES
        texts = [self.captions.caption(d, w) for d, w in zip(digits.tolist(), wordings.tolist())]
        return texts, digits.numpy()

    def judge(self, modality: str, media: Any) -> NDArray[np.int64]:
        """(n,) int64: which digits media of a modality show, say or name; NOTHING where none."""
        if modality == "image":
            return self.image_judge.predict(media)
        if modality == "speech":
            return self.speech_judge.predict(media)
        return self._read(media)

    def _read(self, texts: Sequence[str]) -> NDArray[np.int64]:
        digits = [self.captions.parse_caption(text) for text in texts]
        return np.array([NOTHING if digit is None else digit for digit in digits], dtype=np.int64)

    def _direction(self, direction: str, sources: Any, labels: NDArray[np.int64]) -> Judged:
        source, _, target = direction.partition("_to_")
        media = self._generate(direction, {source: sources}, target)
        return Judged(sources, labels, media, self.judge(target, media))

    def _reconstruct(self, modality: str, sources: Any, labels: NDArray[np.int64]) -> Judged:
        media = self.pipeline.decode(self.pipeline.encode({modality: sources}))[modality]
        return Judged(sources, labels, media, self.judge(modality, media))

    def _unconditional(self, count: int) -> Judged:
        made = self.pipeline.generate(
            {},
            ["text", "image"],
            seed=self._seed("unconditional"),
            num_samples=count,
            target_settings={"text": self.settings.unconditional_text, "image": self.settings.unconditional},
        )
        texts, images = made["text"], made["image"]
        return Judged(texts, self._read(texts), images, self.image_judge.predict(images))

    def _image_alone(self, count: int) -> Judged:
        images = self._generate("image_alone", {}, "image", num_samples=count)
        return Judged(None, np.full(count, NOTHING), images, self.image_judge.predict(images))

    def _inpaint(self, images: Images, count: int) -> tuple[Judged, tuple[int, int]]:
        originals, labels = images.images[:count], images.labels[:count]
        height, width = originals.shape[-2:]
        edit = Edit(media=originals, box=((height // 2, 0), (height, width)))
        filled = self._generate("inpainting", {}, "image", edit={"image": edit})
        return Judged(originals, labels, filled, self.image_judge.predict(filled)), (height // 2, height)

    def _generate(self, direction: str, inputs: Mapping[str, Any], target: str, **options: Any) -> Any:
        settings = getattr(self.settings, direction)
        return self.pipeline.generate(inputs, [target], seed=self._seed(direction), **options, **settings)[
            target
        ]

    def _seed(self, direction: str) -> int:
        return int(self.key.fold(direction).integers(2**31, 0))
