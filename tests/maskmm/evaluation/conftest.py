"""A pipeline that returns real media of the class asked for: every figure can be known beforehand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from datamodules.corpora.digits import captions
from datamodules.corpora.digits.corpus import DigitsCorpus
from tokenizers_vq.contract import TokenSpec

CODEBOOK_SIZE = 400


class StandInPipeline:
    """Knows the class of every medium of the corpus; `confuse` maps the class it should give to the one it gives."""

    def __init__(self, corpus: SmallCorpus, confuse: Mapping[int, int] | None = None) -> None:
        self.confuse = dict(confuse or {})
        self.tokenizers = {
            "image": SimpleNamespace(spec=TokenSpec(CODEBOOK_SIZE, 1, ("y", "x"), (1, 1))),
            "speech": SimpleNamespace(spec=TokenSpec(CODEBOOK_SIZE, 1, ("t",), (1,))),
        }
        self.requests: list[dict[str, Any]] = []
        self._seen: dict[str, Any] = {}
        self._class: dict[bytes, int] = {}
        self._media: dict[str, list[list[Tensor]]] = {
            "image": [[] for _ in range(10)],
            "speech": [[] for _ in range(10)],
        }
        for split in ("train", "test"):
            images, clips = corpus.images(split), corpus.speech(split)
            for name, media, labels in (
                ("image", list(images.images), images.labels),
                ("speech", clips.waveforms, clips.labels),
            ):
                for one, label in zip(media, labels.tolist()):
                    self._class[one.numpy().tobytes()] = label
                    if split == "train":
                        self._media[name][label].append(one)

    def generate(self, inputs: Mapping[str, Any], targets: Sequence[str], **options: Any) -> dict[str, Any]:
        self.requests.append({"inputs": dict(inputs), "targets": list(targets), **options})
        made: dict[str, Any] = {}
        for target in targets:
            made[target] = self._generate(made or inputs, target, options)
        return made

    def _generate(self, inputs: Mapping[str, Any], target: str, options: Mapping[str, Any]) -> Any:
        edit = options.get("edit")
        if edit:
            return edit[target].media
        labels = [label for media in inputs.values() for label in map(self._label, media)]
        labels = labels or [i % 10 for i in range(options["num_samples"])]
        given = [self.confuse.get(label, label) for label in labels]
        if target == "text":
            return [captions.caption(label, i % captions.num_captions) for i, label in enumerate(given)]
        pools = self._media[target]
        media = [pools[label][i % len(pools[label])] for i, label in enumerate(given)]
        return torch.stack(media) if target == "image" else media

    def _label(self, media: Any) -> int:
        if isinstance(media, str):
            digit = captions.parse_caption(media)
            assert digit is not None
            return digit
        return self._class[media.numpy().tobytes()]

    def encode(self, media: Mapping[str, Any]) -> dict[str, Tensor]:
        ((name, batch),) = media.items()
        self._seen[name] = batch
        shape = (len(batch), 1, 1, 1) if name == "image" else (len(batch), 1, 1)
        return {name: (torch.arange(len(batch)) // 2 % CODEBOOK_SIZE).view(shape)}

    def decode(self, codes: Mapping[str, Tensor]) -> dict[str, Any]:
        return {name: self._seen[name] for name in codes}

    def extract_features(
        self, inputs: Mapping[str, Any], layers: Sequence[int], pool: str
    ) -> dict[str, Tensor]:
        pixels = inputs["image"] if pool == "map" else inputs["image"].flatten(1)
        return {"image": pixels if tuple(layers) == (-1,) else torch.ones_like(pixels)}


class SmallCorpus:
    """The first media of each split: enough for judges that hardly err, and quick."""

    def __init__(self, whole: DigitsCorpus) -> None:
        self.whole = whole

    def images(self, split: str) -> SimpleNamespace:
        part = self.whole.images(split)
        return SimpleNamespace(images=part.images[:400], labels=part.labels[:400])

    def speech(self, split: str) -> SimpleNamespace:
        part = self.whole.speech(split)
        return SimpleNamespace(waveforms=part.waveforms[:400], labels=part.labels[:400])


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> SmallCorpus:
    return SmallCorpus(DigitsCorpus(0, Path(tmp_path_factory.mktemp("speech"))))


@pytest.fixture(scope="session")
def make_pipeline(corpus: SmallCorpus) -> Any:
    return lambda confuse=None: StandInPipeline(corpus, confuse)
