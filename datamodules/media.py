"""Media of the digits corpus for training tokenizers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from datamodules.corpora.digits.corpus import DigitsCorpus
from datamodules.corpora.digits.images import augment
from datamodules.corpora.digits.perturb import perturb_voices
from datamodules.plan import BatchPlan
from datamodules.steps import MakeBatch, ResumableLoader, StepData, StepLoader
from tokenizers_vq.contract import Key


@dataclass(frozen=True)
class AugmentedImages:
    """Training batches {"media": (B, 1, 32, 32)}: shuffled, each image moved a little."""

    images: Tensor
    plan: BatchPlan
    rank: int = 0
    world_size: int = 1

    def __call__(self, step: int) -> dict[str, Tensor]:
        """The batch of a step."""
        share = (step, self.rank, self.world_size)
        images = self.images[self.plan.samples(*share)]
        return {"media": augment(images, Key(self.plan.seed).fold("augment"), self.plan.draws(*share))}


@dataclass(frozen=True)
class PlainImages:
    """Evaluation batches {"media": (B, 1, 32, 32)}, in order; the last may be smaller."""

    images: Tensor
    batch_size: int

    def __call__(self, step: int) -> dict[str, Tensor]:
        """Batch number `step`."""
        return {"media": self.images[step * self.batch_size : (step + 1) * self.batch_size]}


def pad_waveforms(waveforms: list[Tensor]) -> dict[str, Tensor]:
    """{"media": (B, T) float32, silent at the end, "lengths": (B,) int64 samples} of B waveforms (T_b,)."""
    lengths = torch.tensor([len(waveform) for waveform in waveforms])
    return {"media": pad_sequence(waveforms, batch_first=True), "lengths": lengths}


@dataclass(frozen=True)
class ShuffledClips:
    """Training batches of padded waveforms, see `pad_waveforms`; a share of the clips as other voices."""

    waveforms: list[Tensor]
    plan: BatchPlan
    perturbed_share: float = 0.0
    rank: int = 0
    world_size: int = 1

    def __call__(self, step: int) -> dict[str, Tensor]:
        """The batch of a step."""
        share = (step, self.rank, self.world_size)
        clips = [self.waveforms[i] for i in self.plan.samples(*share).tolist()]
        if self.perturbed_share:
            key, draw = Key(self.plan.seed).fold("perturb"), self.plan.draws(*share)
            others = perturb_voices(clips, key, draw)
            is_other = key.fold("is other").uniform(draw) < self.perturbed_share
            clips = [other if turn else clip for clip, other, turn in zip(clips, others, is_other.tolist())]
        return pad_waveforms(clips)


@dataclass(frozen=True)
class PlainClips:
    """Evaluation batches of padded waveforms, in order; the last may be smaller."""

    waveforms: list[Tensor]
    batch_size: int

    def __call__(self, step: int) -> dict[str, Tensor]:
        """Batch number `step`."""
        return pad_waveforms(self.waveforms[step * self.batch_size : (step + 1) * self.batch_size])


class _DigitMedia(StepData):
    """A datamodule on the digits corpus.

    Args:
        batch_size: samples a step, over all ranks together.
        num_steps: training steps of the whole run; set the trainer's max_steps to the same.
        seed: decides the splits, the order and the augmentation.
        cache_dir: folder for the synthesised clips; None makes them anew.
        num_workers: processes that make batches.
    """

    def __init__(
        self,
        batch_size: int,
        num_steps: int,
        seed: int = 0,
        cache_dir: Path | None = None,
        num_workers: int = 0,
    ) -> None:
        super().__init__(batch_size, num_steps, seed, num_workers)
        self.corpus = DigitsCorpus(seed, cache_dir)

    def _plan(self, num_samples: int) -> tuple[BatchPlan, int, int]:
        return BatchPlan(num_samples, self.batch_size, self.seed), *self.share

    def _eval_loader(self, make_batch: MakeBatch, num_samples: int) -> StepLoader:
        return StepLoader(make_batch, -(-num_samples // self.batch_size))


class DigitImages(_DigitMedia):
    """Handwritten digits: batches {"media": (B, 1, 32, 32) float32 in [0, 1]}, augmented in training alone."""

    def train_dataloader(self) -> ResumableLoader:
        """Augmented batches of the training split, one a step."""
        images = self.corpus.images("train").images
        return self.training_loader(AugmentedImages(images, *self._plan(len(images))))

    def val_dataloader(self) -> StepLoader:
        """The validation split, once."""
        return self._plain("val")

    def test_dataloader(self) -> StepLoader:
        """The test split, once."""
        return self._plain("test")

    def _plain(self, split: str) -> StepLoader:
        images = self.corpus.images(split).images
        return self._eval_loader(PlainImages(images, self.batch_size), len(images))


class DigitSpeech(_DigitMedia):
    """Synthetic speech of digits: batches {"media": (B, T) float32 at 16 kHz, "lengths": (B,) int64 samples}.

    Args:
        batch_size, num_steps, seed, cache_dir, num_workers: see DigitImages.
        perturbed_share: share of the training clips that are heard as other voices, see `perturb_voices`.

    Raises:
        ValueError: a share outside [0, 1].
    """

    def __init__(
        self,
        batch_size: int,
        num_steps: int,
        seed: int = 0,
        cache_dir: Path | None = None,
        num_workers: int = 0,
        perturbed_share: float = 0.0,
    ) -> None:
        super().__init__(batch_size, num_steps, seed, cache_dir, num_workers)
        if not 0.0 <= perturbed_share <= 1.0:
            raise ValueError(f"perturbed_share={perturbed_share}, expected a share in [0, 1]")
        self.perturbed_share = perturbed_share

    def train_dataloader(self) -> ResumableLoader:
        """Batches of the training split, one a step."""
        waveforms = self.corpus.speech("train").waveforms
        plan, rank, world_size = self._plan(len(waveforms))
        return self.training_loader(ShuffledClips(waveforms, plan, self.perturbed_share, rank, world_size))

    def val_dataloader(self) -> StepLoader:
        """The validation split, once: voices that training does not hear."""
        return self._plain("val")

    def test_dataloader(self) -> StepLoader:
        """The test split, once: voices that neither training nor validation hears."""
        return self._plain("test")

    def _plain(self, split: str) -> StepLoader:
        waveforms = self.corpus.speech(split).waveforms
        return self._eval_loader(PlainClips(waveforms, self.batch_size), len(waveforms))
