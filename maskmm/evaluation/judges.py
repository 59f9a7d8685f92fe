"""Who says which digit a picture shows or a voice speaks: classifiers of real media, never of generated ones."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from maskmm.evaluation.log_mel import SAMPLE_RATE, log_mel_features
from maskmm.evaluation.optional import require

DIGIT_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
NOTHING = -1
"""What a judge says that heard no word at all."""


class Judge(ABC):
    """Names the class of media."""

    @abstractmethod
    def predict(self, media: Any) -> NDArray[np.int64]:
        """(n,) int64 classes of n items; NOTHING where there is none."""

    def is_right(self, media: Any, labels: Tensor | NDArray[np.int64]) -> NDArray[np.bool_]:
        """(n,) bool: which items are judged to be of their class, labels (n,) int64."""
        expected = np.asarray(labels)
        verdicts = self.predict(media)
        if verdicts.shape != expected.shape:
            raise ValueError(
                f"{len(verdicts)} items to judge, but labels of shape {expected.shape}; give one each"
            )
        return verdicts == expected


class _SVM(Judge):
    """Support vector machine with a Gaussian kernel on fixed features.

    Args:
        media: training media, real ones.
        labels: (n,) int64.

    Raises:
        ValueError: scikit-learn is not installed.
    """

    gamma: ClassVar[float]
    """Kernel width, in units of 1 / (number of features x their variance)."""

    def __init__(self, media: Any, labels: Tensor | NDArray[np.int64]) -> None:
        features = self.features(media)
        width = self.gamma / (features.shape[1] * float(features.var()))
        self._svm = require("sklearn.svm", type(self).__name__).SVC(C=10.0, gamma=width)
        self._svm.fit(features, np.asarray(labels))

    @abstractmethod
    def features(self, media: Any) -> NDArray[np.float32]:
        """(n, F) float32."""

    def predict(self, media: Any) -> NDArray[np.int64]:
        """(n,) int64 classes."""
        features = self.features(media)
        return self._svm.predict(features).astype(np.int64) if len(features) else np.zeros(0, dtype=np.int64)


class ImageJudge(_SVM):
    """SVM on histograms of oriented gradients (Dalal and Triggs, 2005: 8 x 8 pixel cells, 2 x 2 cell blocks).

    Media: (n, 1, H, W) float in [0, 1]. Compared on validation images of five splits, trained on the unaugmented
    training images: gradients 0.998 right, 0.990 once the images are moved and turned as in training augmentation;
    pixels pooled to 16 x 16 0.989 and 0.950.

    Raises:
        ValueError: scikit-learn or scikit-image is not installed; images of another shape, or not finite.
    """

    gamma = 1.0

    def features(self, media: Tensor) -> NDArray[np.float32]:
        """(n, F) float32."""
        hog = require("skimage.feature", "ImageJudge").hog
        if media.ndim != 4 or media.shape[1] != 1 or not bool(torch.isfinite(media).all()):
            raise ValueError(f"images of shape {tuple(media.shape)}: expected (n, 1, H, W) of finite values")
        pictures = media[:, 0].float().cpu().numpy()
        rows = [hog(p, orientations=8, pixels_per_cell=(8, 8), cells_per_block=(2, 2)) for p in pictures]
        return np.stack(rows).astype(np.float32) if rows else np.zeros((0, 1), dtype=np.float32)


class SpeechJudge(_SVM):
    """SVM on log-mel over time, stretched to one length (see `log_mel_features`).

    Media: list of (T,) float at 16 kHz.

    Raises:
        ValueError: scikit-learn is not installed; an empty clip, or one that is not finite.
    """

    gamma = 0.5

    def features(self, media: Sequence[Tensor]) -> NDArray[np.float32]:
        """(n, F) float32."""
        return log_mel_features(media)


class SpeechRecogniser(Judge):
    """pocketsphinx, trained by its authors on human speech, with a grammar of single words.

    Keyword lists and the open model recognise single words badly, hence the grammar. A little dither, because digital
    silence upsets cepstral means; drawn from one seed for each clip, so that a clip is heard alike wherever it stands.

    Args:
        words: classes, in order, each one word of pocketsphinx's dictionary.

    Raises:
        ValueError: pocketsphinx is not installed.
    """

    padding_s: ClassVar[float] = 0.3
    dither: ClassVar[float] = 0.002

    def __init__(self, words: Sequence[str] = DIGIT_WORDS) -> None:
        pocketsphinx = require("pocketsphinx", "SpeechRecogniser")
        self.words = tuple(words)
        self._decoder = pocketsphinx.Decoder(samprate=SAMPLE_RATE, cmn="batch", lm=None, logfn=os.devnull)
        grammar = f"#JSGF V1.0; grammar words; public <word> = {' | '.join(words)};"
        self._decoder.add_jsgf_string("words", grammar)
        self._decoder.activate_search("words")

    def predict(self, media: Sequence[Tensor]) -> NDArray[np.int64]:
        """(n,) int64 classes of a list of (T,) float clips in [-1, 1] at 16 kHz; NOTHING where no word was heard."""
        return np.array([self._hear(waveform) for waveform in media], dtype=np.int64)

    def _hear(self, waveform: Tensor) -> int:
        samples = np.pad(waveform.cpu().numpy().astype(np.float64), int(self.padding_s * SAMPLE_RATE))
        samples += np.random.default_rng(0).normal(0.0, self.dither, samples.shape)
        self._decoder.start_utt()
        pcm = (np.clip(samples, -1.0, 1.0) * 32767).astype("<i2")
        self._decoder.process_raw(pcm.tobytes(), no_search=False, full_utt=True)
        self._decoder.end_utt()
        heard = self._decoder.hyp()
        return self.words.index(heard.hypstr) if heard is not None and heard.hypstr in self.words else NOTHING
