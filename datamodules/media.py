"""Media of the digits corpus for training tokenizers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from datamodules.corpora.digits.corpus import DigitsCorpus
from datamodules.corpora.digits.images import augment
from datamodules.corpora.digits.perturb import perturb_voices
from datamodules.media_data import InOrder, MediaData, PaddedInOrder, padded
from datamodules.plan import BatchPlan
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
class ShuffledClips:
    """Training batches of padded waveforms, see `padded`; a share of the clips as other voices."""

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
        return padded(clips)


class _DigitMedia(MediaData):
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


class DigitImages(_DigitMedia):
    """Handwritten digits: batches {"media": (B, 1, 32, 32) float32 in [0, 1]}, augmented in training alone."""

    def training_batches(self) -> AugmentedImages:
        """Augmented images of the training split."""
        images = self.corpus.images("train").images
        return AugmentedImages(images, *self._plan(len(images)))

    def held_out_batches(self, split: str) -> tuple[InOrder, int]:
        """Plain images of a split."""
        images = self.corpus.images(split).images
        return InOrder(images, self.batch_size), len(images)


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

    def training_batches(self) -> ShuffledClips:
        """Clips of the training split."""
        waveforms = self.corpus.speech("train").waveforms
        plan, rank, world_size = self._plan(len(waveforms))
        return ShuffledClips(waveforms, plan, self.perturbed_share, rank, world_size)

    def held_out_batches(self, split: str) -> tuple[PaddedInOrder, int]:
        """Clips of voices that training does not hear, in the test of voices that validation does not either."""
        waveforms = self.corpus.speech(split).waveforms
        return PaddedInOrder(waveforms, self.batch_size), len(waveforms)
