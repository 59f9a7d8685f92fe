"""Samples of the shared model in TensorBoard while it trains, from validation data: images, films, sounds and texts."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import lightning
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor
from torchvision.utils import make_grid

from maskmm.decoding import IterativeDecoder, generate_tokens
from maskmm.masking.base import MaskedSequence
from maskmm.sequence import unpack
from tokenizers_vq.contract import TokenBatch, Tokenizer, load_tokenizer

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Request:
    """A few samples of one target, each made from one other modality.

    Attributes:
        conditions: one segment a sample.
        sources: modality of each condition.
        originals: codes (*shape, Q) of the target that belongs to each condition.
    """

    conditions: TokenBatch
    sources: tuple[str, ...]
    originals: list[Tensor]


class SampleLogger(lightning.Callback):
    """Generate every modality from a few validation samples, at every validation, and show them in TensorBoard.

    Samples and random numbers are the same at each validation, so that what changes is the model. They are made while
    the weights of validation are in place (averaged ones, where a callback averages). The originals, through the
    tokenizers and back, are shown once. Modalities without codes or decoder, which a model only reads, are left out.
    Without a TensorBoard logger nothing is generated.

    Args:
        num_samples: most samples of each modality.
        decoder: how they are made; 8 steps without guidance where not given.
        seed: of their random numbers.

    Raises:
        ValueError: num_samples below 1; in training, a module whose modalities name no tokenizer folders.
    """

    def __init__(self, num_samples: int = 6, decoder: IterativeDecoder | None = None, seed: int = 0) -> None:
        if num_samples < 1:
            raise ValueError(f"num_samples={num_samples}, expected at least 1")
        self.num_samples = num_samples
        self.decoder = decoder or IterativeDecoder(num_steps=8)
        self.seed = seed
        self._tokenizers: dict[str, Tokenizer] = {}
        self._requests: dict[str, Request] | None = None

    def setup(self, trainer: lightning.Trainer, pl_module: Any, stage: str) -> None:
        """Load the tokenizers, which stay on the CPU."""
        if not pl_module.sources:
            raise ValueError(
                "SampleLogger decodes with the tokenizers of the module's modalities, but they are specs alone; name "
                "tokenizer folders (ModalitySource), or leave this callback out"
            )
        if tensorboard_writer(trainer) is not None:
            loaded = {source.name: load_tokenizer(source.tokenizer) for source in pl_module.sources}
            self._tokenizers = {name: t for name, t in loaded.items() if t.spec.has_codes and t.has_decoder}

    def on_validation_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: Any,
        outputs: Any,
        batch: MaskedSequence,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Show samples after the first batch, whose samples the conditions are taken from."""
        writer = tensorboard_writer(trainer)
        if batch_idx or dataloader_idx or trainer.sanity_checking or writer is None:
            return
        if self._requests is None:
            self._requests = choose_requests(batch, list(self._tokenizers), self.num_samples)
            for name, request in self._requests.items():
                self._show(writer, f"originals/{name}", name, request.originals, request.sources, 0)
        for name, request in self._requests.items():
            made = generate_tokens(
                pl_module.model,
                request.conditions,
                [name],
                self.decoder,
                seed=self.seed,
            )
            codes = [sample[name][0] for sample in made.samples(pl_module.vocabulary.modalities)]
            self._show(writer, f"samples/{name}", name, codes, request.sources, trainer.global_step)

    def _show(
        self, writer: Any, tag: str, name: str, codes: list[Tensor], sources: Sequence[str], step: int
    ) -> None:
        tokenizer = self._tokenizers[name]
        with torch.no_grad():
            media = tokenizer.decode(torch.stack(codes) if tokenizer.spec.is_fixed else codes)
        if tokenizer.media == "image":
            writer.add_image(tag, make_grid(list(media), nrow=len(codes)), step)
        elif tokenizer.media == "video":
            # Middle frames: the writer's animations want another package. Samples may differ in length.
            middles = [frames[len(frames) // 2] for frames in media]
            writer.add_image(tag, make_grid(middles, nrow=len(codes)), step)
        elif tokenizer.media == "audio":
            for index, (sound, source) in enumerate(zip(media, sources)):
                rate = int(tokenizer.spec.rate or 0)
                writer.add_audio(f"{tag}/{index}_from_{source}", sound.clamp(-1, 1), step, sample_rate=rate)
        elif tokenizer.media == "text":
            lines = [f"- from {source}: {text}" for source, text in zip(sources, media)]
            writer.add_text(tag, "\n".join(lines), step)
        else:
            _LOG.info("%s: samples of media kind %r cannot be shown", tag, tokenizer.media)


def tensorboard_writer(trainer: lightning.Trainer) -> Any:
    """The SummaryWriter of the trainer's TensorBoard logger; None without one, and on all ranks but the first."""
    if not trainer.is_global_zero:
        return None
    return next((log.experiment for log in trainer.loggers if isinstance(log, TensorBoardLogger)), None)


def choose_requests(batch: MaskedSequence, targets: Sequence[str], num_samples: int) -> dict[str, Request]:
    """Conditions out of a validation batch.

    Args:
        batch: its masking must keep rows in their places, with the ids from before hiding as targets.
        targets: modality names.
        num_samples: most samples a target.

    Returns:
        target -> request; the conditions take turns among the other modalities of their samples. Samples that ask for
        a length, and targets that no sample has beside another modality, are left out.

    Raises:
        ValueError: rows that were moved or dropped.
    """
    inputs = batch.to("cpu").inputs
    sequence = replace(inputs, ids=batch.targets.cpu())
    modalities = sequence.vocabulary.modalities
    whole = [s for s in unpack(sequence).samples(modalities) if not any(n.endswith(".length") for n in s)]
    # A condition is its codes alone, without continuous inputs that the model would want to see.
    plain = {m.name for m in modalities if m.spec.has_codes} - set(inputs.inputs)
    requests = {}
    for name in targets:
        chosen = [sample for sample in whole if name in sample and plain & set(sample) - {name}][:num_samples]
        if chosen:
            others = [sorted(plain & set(sample) - {name}) for sample in chosen]
            sources = tuple(names[index % len(names)] for index, names in enumerate(others))
            conditions = [{source: sample[source][0]} for source, sample in zip(sources, chosen)]
            requests[name] = Request(
                TokenBatch.from_samples(conditions, modalities),
                sources,
                [sample[name][0] for sample in chosen],
            )
    return requests
