"""Held-out sounds and what a codec is scored by: spectrograms, samples, and words that an outside ear still hears."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torchmetrics.functional.audio import scale_invariant_signal_distortion_ratio

from benchmarks.rate_distortion.budget import Budget
from datamodules.corpora.digits.corpus import DigitsCorpus
from datamodules.corpora.speech.corpus import SpeechCorpus
from maskmm.evaluation.judges import SpeechRecogniser
from tokenizers_vq.audio.multi_scale_mel import MultiScaleMel

RATE = 16_000
_QUICK_CLIPS = 3


@dataclass(frozen=True)
class Sounds:
    """Clips that no codec was trained on.

    Attributes:
        name: of the corpus.
        clips: list of (T,) float32 in [-1, 1] at 16 kHz.
        labels: (n,) int64 digits that the clips say; None where they say other things.
    """

    name: str
    clips: list[Tensor]
    labels: Tensor | None

    def score(self, decoded: Sequence[Tensor]) -> dict[str, Any]:
        """Columns of a row, means over the clips.

        "mel_distance": MultiScaleMel's defaults; "si_sdr_db": scale-invariant signal-to-distortion ratio (Le Roux et
        al., 2019), which is low where a decoder makes up the phase; "recognised": share of the digits that pocketsphinx
        hears, and "recognised_share" over that of the originals.

        Args:
            decoded: a clip for each, (T,) or longer: the rest is cut off.

        Raises:
            ValueError: another number of clips, or one that is shorter than its original.
        """
        if len(decoded) != len(self.clips) or any(len(d) < len(c) for d, c in zip(decoded, self.clips)):
            raise ValueError(
                f"{len(decoded)} decoded clips, expected {len(self.clips)} at least as long as the originals"
            )
        pairs = [(d[: len(c)], c) for d, c in zip(decoded, self.clips)]
        mel = MultiScaleMel(RATE)
        distances = torch.stack([mel.distance(d[None, None], c[None, None]) for d, c in pairs])
        ratios = torch.stack([scale_invariant_signal_distortion_ratio(d, c) for d, c in pairs])
        row = {
            "mel_distance": round(float(distances.mean()), 3),
            "si_sdr_db": round(float(ratios.mean()), 1),
        }
        if self.labels is None:
            return row
        heard = _recognised([d for d, _ in pairs], self.labels)
        share = heard / self._originals_recognised
        return row | {"recognised": round(heard, 3), "recognised_share": round(share, 3)}

    @cached_property
    def _originals_recognised(self) -> float:
        assert self.labels is not None
        return _recognised(self.clips, self.labels)


def _recognised(clips: Sequence[Tensor], labels: Tensor) -> float:
    """Share of the digits that are heard right."""
    return float(SpeechRecogniser().is_right(clips, labels).mean())


def held_out(budget: Budget) -> list[Sounds]:
    """Digits by voices that nothing was trained on, and real prompts of sentences that nothing was trained on."""
    digits = DigitsCorpus(budget.seed).speech("test")
    prompts = SpeechCorpus(budget.seed, RATE).speech("test")
    few = slice(_QUICK_CLIPS if budget.is_quick else None)
    return [
        Sounds("synthetic digits, unheard voices", digits.waveforms[few], digits.labels[few]),
        Sounds("real prompts, unheard sentences", prompts.waveforms[few], None),
    ]
