"""An outside ear for the digit words: pocketsphinx with a grammar of ten words."""

from __future__ import annotations

import os

import numpy as np
from numpy.typing import NDArray

from datamodules.corpora.digits.captions import WORDS
from datamodules.corpora.packages import import_package

SAMPLE_RATE = 16_000
_GRAMMAR = f"#JSGF V1.0; grammar digits; public <digit> = {' | '.join(WORDS)};"
_PADDING_S, _DITHER = 0.3, 0.002


class DigitRecogniser:
    """Recognises one spoken digit a clip, offline; it was trained on human speech and sees none of ours.

    A grammar, because keyword lists and the open model recognise isolated digits badly; a little dither,
    because digital silence upsets its cepstral means. The dither is drawn with a fixed seed for each clip, so
    that a clip gets the same answer wherever it stands.

    Raises:
        ValueError: pocketsphinx is not installed.
    """

    def __init__(self) -> None:
        pocketsphinx = import_package("pocketsphinx", "pocketsphinx", "the recogniser")
        self._decoder = pocketsphinx.Decoder(samprate=SAMPLE_RATE, cmn="batch", lm=None, logfn=os.devnull)
        self._decoder.add_jsgf_string("digits", _GRAMMAR)
        self._decoder.activate_search("digits")

    def recognise(self, waveform: NDArray[np.float32]) -> int | None:
        """The digit heard in a clip.

        Args:
            waveform: (T,) float32 in [-1, 1] at 16 kHz.

        Returns:
            0 to 9, or None where nothing was recognised.
        """
        silence = np.zeros(int(_PADDING_S * SAMPLE_RATE), dtype=np.float32)
        padded = np.concatenate([silence, waveform, silence])
        padded = padded + np.random.default_rng(0).normal(0.0, _DITHER, padded.shape)
        samples = (np.clip(padded, -1.0, 1.0) * 32767).astype("<i2")
        self._decoder.start_utt()
        self._decoder.process_raw(samples.tobytes(), no_search=False, full_utt=True)
        self._decoder.end_utt()
        hypothesis = self._decoder.hyp()
        if hypothesis is None or hypothesis.hypstr not in WORDS:
            return None
        return WORDS.index(hypothesis.hypstr)
