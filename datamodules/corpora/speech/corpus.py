"""The speech corpus: real prompts with transcripts, split by what they say."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import soundfile
import torch
import torchaudio.functional as audio
from torch import Tensor

from datamodules.corpora.speech.prompts import ROOT, SAMPLE_RATE, Prompt, load_prompts
from datamodules.corpora.splits import Split, check_split, split_groups
from tokenizers_vq.contract import Key


@dataclass(frozen=True)
class PromptSet:
    """Prompts of one split.

    Attributes:
        waveforms: list of (T,) float32 in [-1, 1] at the corpus' sample rate.
        prompts: who they are; `text` is the transcript.
        item_ids: (n,) int64, ascending places in the corpus.
    """

    waveforms: list[Tensor]
    prompts: list[Prompt]
    item_ids: Tensor

    @property
    def texts(self) -> list[str]:
        """Transcript of each."""
        return [prompt.text for prompt in self.prompts]


class SpeechCorpus:
    """551 studio recordings of one speaker with transcripts, in three splits.

    Args:
        seed: decides the split: 80/10/10 by what is said, so that no sentence is in two splits.
        sample_rate: of the waveforms; the recordings have 8,000 Hz and are resampled where another is asked for, which
            adds nothing above 4 kHz.
        root: folder that holds asterisk/ and doc/ as Debian's packages lay them out.

    Raises:
        ValueError: a sample rate that is not positive.
    """

    def __init__(self, seed: int = 0, sample_rate: int = SAMPLE_RATE, root: Path = ROOT) -> None:
        if sample_rate < 1:
            raise ValueError(f"sample_rate={sample_rate}, expected a positive number of samples a second")
        self.seed = seed
        self.sample_rate = sample_rate
        self.root = root

    @cached_property
    def prompts(self) -> list[Prompt]:
        """All prompts, by key.

        Raises:
            ValueError: the Debian packages are not installed; the message names them.
        """
        return load_prompts(self.root)

    @cached_property
    def _parts(self) -> dict[Split, Tensor]:
        sayings = sorted({prompt.words for prompt in self.prompts})
        groups = split_groups(len(sayings), Key(self.seed).fold("speech").fold("split"))
        split_of = {sayings[group]: split for split, part in groups.items() for group in part.tolist()}
        return {
            split: torch.tensor([i for i, p in enumerate(self.prompts) if split_of[p.words] == split])
            for split in groups
        }

    def speech(self, split: str) -> PromptSet:
        """Prompts of a split.

        Raises:
            ValueError: an unknown split, the Debian packages are not installed, or a file is no 8 kHz recording.
        """
        item_ids = self._parts[check_split(split)]
        prompts = [self.prompts[i] for i in item_ids.tolist()]
        return PromptSet([self._read(prompt.path) for prompt in prompts], prompts, item_ids)

    def _read(self, path: Path) -> Tensor:
        try:
            samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            raise ValueError(f"{path} is no readable sound ({error.error_string})") from error
        if rate != SAMPLE_RATE or samples.shape[1] != 1 or len(samples) == 0:
            raise ValueError(
                f"{path}: {samples.shape} samples at {rate} Hz, expected (T, 1) at {SAMPLE_RATE}"
            )
        waveform = torch.from_numpy(samples[:, 0])
        if self.sample_rate == SAMPLE_RATE:
            return waveform
        return audio.resample(waveform, SAMPLE_RATE, self.sample_rate).clamp(-1.0, 1.0)
