"""How long a generated segment is: settled before its first step, so that no end token has to be guessed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from maskmm.decoding.draft import Draft
from maskmm.decoding.filters import Temperature
from maskmm.decoding.guidance import Guidance
from maskmm.decoding.iterative import IterativeDecoder
from maskmm.decoding.placement import device_of
from maskmm.objectives.base import MaskedModel
from maskmm.vocabulary import length_modality
from tokenizers_vq.contract import Key, Modality


class LengthPolicy(ABC):
    """Says how many tokens each new segment has along its varying axis."""

    @abstractmethod
    def __call__(
        self, model: MaskedModel, draft: Draft, modality: Modality, is_wanted: Tensor, key: Key
    ) -> Tensor:
        """Lengths of new segments.

        Args:
            model: may be asked.
            draft: conditions and finished targets.
            modality: of the new segments; its grid has a varying axis.
            is_wanted: (B,) bool, samples that get a segment.
            key: randomness.

        Returns:
            (B,) int64, 1 to max_length where wanted.
        """


@dataclass(frozen=True)
class GivenLength(LengthPolicy):
    """Lengths that the caller knows.

    Args:
        lengths: tokens along the varying axis, for all samples alike or one each.

    Raises:
        ValueError: when asked, where there is not one length for each sample, or one is out of range.
    """

    lengths: int | Sequence[int]

    def __call__(
        self, model: MaskedModel, draft: Draft, modality: Modality, is_wanted: Tensor, key: Key
    ) -> Tensor:
        """The given lengths."""
        num_samples = draft.batch.num_samples
        lengths = [self.lengths] * num_samples if isinstance(self.lengths, int) else list(self.lengths)
        if len(lengths) != num_samples:
            raise ValueError(
                f"{len(lengths)} lengths for {num_samples} samples; give one for each, or one number"
            )
        for length in lengths:
            modality.spec.shape(length)
        return torch.tensor(lengths, dtype=torch.int64)


@dataclass(frozen=True)
class SameLengthAs(LengthPolicy):
    """As long as the sample's first segment of another modality, along the axis of the same name.

    Args:
        source: modality to measure.

    Raises:
        ValueError: when asked, where a sample lacks the source, or the source lacks the axis.
    """

    source: str

    def __call__(
        self, model: MaskedModel, draft: Draft, modality: Modality, is_wanted: Tensor, key: Key
    ) -> Tensor:
        """The source's lengths."""
        batch, spec = draft.batch, model.vocabulary.spec(self.source)
        assert modality.spec.grid is not None
        axis = modality.spec.axes[modality.spec.grid.index(None)]
        if axis not in spec.axes:
            raise ValueError(f"{self.source!r} has axes {spec.axes}, expected one named {axis!r} to measure")
        lengths = torch.zeros(batch.num_samples, dtype=torch.int64)
        if self.source in batch.names:
            mine = batch.segments.modality == batch.names.index(self.source)
            # Written last to first, so that the first segment of a sample has the last word.
            sizes = batch.segments.shape[mine][:, spec.axes.index(axis)]
            lengths[batch.segments.sample[mine].flip(0)] = sizes.flip(0)
        lacking = (is_wanted & (lengths == 0)).nonzero().flatten().tolist()
        if lacking:
            raise ValueError(
                f"samples {lacking} have no {self.source!r} to take the length of {modality.name!r} from"
            )
        return lengths


@dataclass(frozen=True)
class SampledLength(LengthPolicy):
    """Ask the model: one forward over the conditions and a masked "<name>.length" label.

    Args:
        temperature: 0 takes the most probable length.
        guidance: guidance of that forward.

    Raises:
        ValueError: a negative temperature; when asked, a model without that label.
    """

    temperature: float = 1.0
    guidance: Guidance = field(default_factory=Guidance)

    def __post_init__(self) -> None:
        Temperature(self.temperature)

    def __call__(
        self, model: MaskedModel, draft: Draft, modality: Modality, is_wanted: Tensor, key: Key
    ) -> Tensor:
        """Sampled lengths (1 where not wanted)."""
        label = length_modality(modality)
        if label.name not in model.vocabulary.names:
            raise ValueError(
                f"this model has no {label.name!r} to sample the length of {modality.name!r} from; give the lengths, "
                "or train with with_length_modalities"
            )
        decoder = IterativeDecoder(1, filters=(Temperature(self.temperature),), guidance=self.guidance)
        asked = draft.with_segments(label, is_wanted, torch.ones(len(is_wanted), dtype=torch.int64))
        sequence, is_unknown = asked.sequence(model.vocabulary, label.name)
        device = device_of(model)
        decoded = decoder.decode(model, sequence.to(device), is_unknown.to(device), key)
        batch = asked.filled(label.name, decoded).batch
        table = batch.segments
        # The new label is the last segment of its sample, whatever labels were given beside it.
        mine = (table.modality == batch.names.index(label.name)).nonzero().flatten()
        lengths = torch.ones(batch.num_samples, dtype=torch.int64)
        for_sample = torch.full_like(lengths, -1).scatter_reduce(0, table.sample[mine], mine, "amax")
        lengths[is_wanted] = batch.codes[label.name][table.start[for_sample[is_wanted]], 0] + 1
        return lengths
