"""What the evaluation of digits needs to be handed: a corpus and its captions."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor


class LabelledImages(Protocol):
    """Real images of one split."""

    @property
    def images(self) -> Tensor:
        """(n, 1, H, W) float32 in [0, 1]."""

    @property
    def labels(self) -> Tensor:
        """(n,) int64."""


class LabelledClips(Protocol):
    """Real clips of one split; voices of one split are in no other."""

    @property
    def waveforms(self) -> list[Tensor]:
        """n clips (T,) float32 in [-1, 1] at 16 kHz."""

    @property
    def labels(self) -> Tensor:
        """(n,) int64."""


class DigitCorpus(Protocol):
    """Images and clips in three splits: "train", "val", "test"."""

    def images(self, split: str) -> LabelledImages:
        """Images of a split."""

    def speech(self, split: str) -> LabelledClips:
        """Clips of a split."""


class CaptionGrammar(Protocol):
    """Captions of a digit, and the parser that reads them back."""

    @property
    def num_captions(self) -> int:
        """Captions of each digit."""

    def caption(self, digit: int, index: int) -> str:
        """Caption `index` of a digit."""

    def parse_caption(self, text: str) -> int | None:
        """The digit that a text names; None unless the text is one of the captions."""
