"""Speech for training codecs: crops of one length, from synthetic digits, real prompts, or both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from datamodules.corpora.digits.corpus import DigitsCorpus
from datamodules.corpora.speech.corpus import SpeechCorpus
from datamodules.media_data import MediaData, PaddedInOrder, padded
from datamodules.plan import BatchPlan
from tokenizers_vq.contract import Key

SAMPLE_RATE = 16_000


@dataclass(frozen=True)
class CroppedClips:
    """Training batches of crops, see `padded`: each draw at a place of its own; shorter clips stay whole.

    A clip is drawn once an epoch for every crop that fits into it, so that each second of the corpora counts alike.

    Attributes:
        waveforms: list of (T,) float32.
        crop: samples.
        clip_of_item: (n,) int64, the clip that item i of the plan is cut from.
        plan: which items at which step.
    """

    waveforms: list[Tensor]
    crop: int
    clip_of_item: Tensor
    plan: BatchPlan
    rank: int = 0
    world_size: int = 1

    def __call__(self, step: int) -> dict[str, Tensor]:
        """The batch of a step."""
        share = (step, self.rank, self.world_size)
        clips = [self.waveforms[i] for i in self.clip_of_item[self.plan.samples(*share)].tolist()]
        spare_B = torch.tensor([max(0, len(clip) - self.crop) for clip in clips])
        key = Key(self.plan.seed).fold("crop")
        first_B = (key.uniform(self.plan.draws(*share)) * (spare_B + 1)).long().clamp(max=spare_B)
        return padded([clip[first : first + self.crop] for clip, first in zip(clips, first_B.tolist())])


class SpeechCrops(MediaData):
    """Batches {"media": (B, T) float32 at 16 kHz, "lengths": (B,) int64 samples}: crops in training, whole clips else.

    Args:
        batch_size: clips a step, over all ranks together.
        num_steps: training steps of the whole run; set the trainer's max_steps to the same.
        seed: decides splits, order and crops.
        cache_dir: folder for the synthesised clips; None makes them anew.
        num_workers: processes that make batches.
        crop_s: seconds of a training crop.
        corpora: "digits" (synthetic voices saying digits), "prompts" (the real recordings of `corpora.speech`, 8 kHz
            resampled), or both.

    Raises:
        ValueError: an unknown corpus or none, a crop of no samples; a corpus whose packages are missing, when used.
    """

    def __init__(
        self,
        batch_size: int,
        num_steps: int,
        seed: int = 0,
        cache_dir: Path | None = None,
        num_workers: int = 0,
        crop_s: float = 0.5,
        corpora: Sequence[str] = ("digits",),
    ) -> None:
        super().__init__(batch_size, num_steps, seed, num_workers)
        if not corpora or not set(corpora) <= {"digits", "prompts"}:
            raise ValueError(f"corpora={list(corpora)}, expected 'digits', 'prompts' or both")
        self.crop = round(crop_s * SAMPLE_RATE)
        if self.crop < 1:
            raise ValueError(f"crop_s={crop_s}, expected seconds of at least one sample")
        self.corpora, self.cache_dir = tuple(corpora), cache_dir

    @cached_property
    def _digits(self) -> DigitsCorpus:
        return DigitsCorpus(self.seed, self.cache_dir)

    def waveforms(self, split: str) -> list[Tensor]:
        """All clips of a split, in order of the corpora."""
        clips: list[Tensor] = []
        if "digits" in self.corpora:
            clips += self._digits.speech(split).waveforms
        if "prompts" in self.corpora:
            clips += SpeechCorpus(self.seed, SAMPLE_RATE).speech(split).waveforms
        return clips

    def training_batches(self) -> CroppedClips:
        """Crops of the training split."""
        clips = self.waveforms("train")
        counts = torch.tensor([-(-len(clip) // self.crop) for clip in clips])
        clip_of_item = torch.arange(len(clips)).repeat_interleave(counts)
        plan = BatchPlan(len(clip_of_item), self.batch_size, self.seed)
        return CroppedClips(clips, self.crop, clip_of_item, plan, *self.share)

    def held_out_batches(self, split: str) -> tuple[PaddedInOrder, int]:
        """Voices and sentences that training does not hear, in the test such as validation does not either."""
        clips = sorted(self.waveforms(split), key=len)  # of like lengths side by side: little padding
        return PaddedInOrder(clips, self.batch_size), len(clips)
