"""Media made into tokens as they are needed, for models that read continuous inputs beside or instead of codes.

Token stores hold codes, and continuous inputs if they were asked for; here nothing is stored. What a model of patches
is shown (BEATs, BEiT) is made by the tokenizer that makes its targets, from batches of any datamodule of media.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch

from datamodules.steps import MakeBatch, ResumableLoader, StepData, StepLoader
from tokenizers_vq.contract import (
    Collate,
    Key,
    Modality,
    ModalitySource,
    TokenBatch,
    Tokenizer,
    load_tokenizer,
)


@dataclass(frozen=True)
class TokensOfMedia:
    """The packed batch of a step, made from the media of that step.

    Attributes:
        media: makes batches {"media": ..., optional "lengths": (B,) int64 samples}.
        modality: what the media become.
        tokenizer: makes codes and, where it has any, continuous inputs.
        collate: packs and masks.
        key: of the masking.
    """

    media: MakeBatch
    modality: Modality
    tokenizer: Tokenizer
    collate: Collate
    key: Key

    def tokens(self, step: int) -> TokenBatch:
        """The step's tokens before packing; sample ids are those of draws, B a step."""
        batch = self.media(step)
        media = batch["media"]
        if "lengths" in batch:
            media = [row[:size] for row, size in zip(media, batch["lengths"].tolist())]
        with torch.no_grad():
            codes = self.tokenizer.encode(media)
            inputs = self.tokenizer.inputs(media)
        name = self.modality.name
        sample_id = step * len(codes) + torch.arange(len(codes))
        made = TokenBatch.from_samples([{name: one} for one in codes], [self.modality], sample_id)
        return made if inputs is None else replace(made, inputs={name: inputs})

    def __call__(self, step: int) -> Any:
        """The batch of a step, packed."""
        return self.collate(self.tokens(step), self.key.at(step))


class MediaTokens(StepData):
    """One modality's tokens with their continuous inputs, from the media of another datamodule.

    A resumed run sees exactly the batches that an uninterrupted one would have seen.

    Args:
        media: gives the media, batch size included; its number of steps is set to this one's.
        num_steps: training steps of the whole run; set the trainer's max_steps to the same.
        seed: of the masking; the media have their own.
        modalities: the one modality, whose tokenizer's folder is loaded.
        collate: packs a TokenBatch; runs in the data workers.
        num_workers: processes that make batches.

    Raises:
        ValueError: more or fewer modalities than one, or no folder of a tokenizer.
    """

    def __init__(
        self,
        media: StepData,
        num_steps: int,
        seed: int,
        modalities: list[ModalitySource],
        collate: Collate,
        num_workers: int = 0,
    ) -> None:
        super().__init__(media.batch_size, num_steps, seed, num_workers)
        if len(modalities) != 1:
            raise ValueError(
                f"{len(modalities)} modalities, expected one: media of several kinds are paired in token stores"
            )
        self.media, self.source, self.collate = media, modalities[0], collate
        self.modality = self.source.load()

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The modality's, in eval mode."""
        return load_tokenizer(self.source.tokenizer)

    def train_dataloader(self) -> ResumableLoader:
        """Batches of the media's training split, one a step."""
        # Ranks take their shares of the media's steps.
        self.media.trainer, self.media.num_steps = self.trainer, self.num_steps
        return self.training_loader(self._of(self.media.train_dataloader(), "train"))

    def val_dataloader(self) -> StepLoader:
        """The media's validation split, once, masked alike every time."""
        return self._evaluation(self.media.val_dataloader(), "val")

    def test_dataloader(self) -> StepLoader:
        """The media's test split, once, masked alike every time."""
        return self._evaluation(self.media.test_dataloader(), "test")

    def _evaluation(self, loader: StepLoader, split: str) -> StepLoader:
        return StepLoader(self._of(loader, split), loader.num_steps, self.num_workers)

    def _of(self, loader: StepLoader, split: str) -> TokensOfMedia:
        key = Key(self.seed).fold("media tokens").fold(split)
        return TokensOfMedia(loader.make_batch, self.modality, self.tokenizer, self.collate, key)
