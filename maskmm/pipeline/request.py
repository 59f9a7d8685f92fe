"""One call of `Pipeline.generate`, checked as a whole before any work is done."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import torch
from torch import Tensor

from maskmm.decoding import GivenLength, IterativeDecoder, LengthPolicy, SampledLength, generate_tokens
from maskmm.model import MaskedTransformer
from maskmm.pipeline.codec import Codec
from maskmm.pipeline.editing import Edit
from maskmm.pipeline.inputs import check_names, chunks, num_samples_of, part, same_size
from maskmm.pipeline.settings import GenerationSettings
from tokenizers_vq.contract import Codes, TokenBatch, TokenSpec

Lengths = int | Sequence[int] | Tensor | LengthPolicy
_TWO_63 = 1 << 63


@dataclass(frozen=True)
class GenerationRequest:
    """What is asked for; fields as in `Pipeline.generate`, settings by target.

    Raises:
        ValueError: fields that contradict each other.
    """

    inputs: Mapping[str, Any]
    targets: Sequence[str]
    settings: Mapping[str, GenerationSettings]
    edit: Mapping[str, Edit]
    lengths: Mapping[str, Lengths]
    num_samples: int
    sample_id: Sequence[int]
    seed: int
    decoder: IterativeDecoder | None = None

    def __post_init__(self) -> None:
        check_names(list(self.edit), self.targets, "edit", "among the targets")
        check_names(list(self.lengths), self.targets, "lengths", "among the targets")
        _check_integers("seed", [self.seed], -_TWO_63, _TWO_63 - 1)
        _check_integers("sample_id", self.sample_id, -_TWO_63, _TWO_63 - 1)
        both = sorted(set(self.inputs) & set(self.edit))
        if both:
            raise ValueError(f"{both} are inputs and edits at once; give each as one of them")
        counts = {"sample_id": len(self.sample_id)}
        counts |= {f"lengths of {n}": len(v) for n, v in self.lengths.items() if hasattr(v, "__len__")}
        for what, count in counts.items():
            if count != self.num_samples:
                raise ValueError(f"{what}: {count} numbers for {self.num_samples} samples; give one for each")

    def codes(self, model: MaskedTransformer, codec: Codec, batch_size: int) -> Iterator[dict[str, Codes]]:
        """Codes of the targets, batch by batch.

        Raises:
            ValueError: a target without codes, or a length that does not fit its target.
        """
        bare = [name for name in self.targets if not model.vocabulary.spec(name).has_codes]
        if bare:
            raise ValueError(f"targets {bare} have continuous inputs and no codes; they can only be inputs")
        for name, given in self.lengths.items():
            if not isinstance(given, LengthPolicy):
                _check_length(name, given, model.vocabulary.spec(name))
        for chunk in chunks(self.num_samples, batch_size):
            batch = self._batch(model, codec, chunk)
            done = generate_tokens(
                model,
                batch,
                self.targets,
                {name: self.decoder or self.settings[name].decoder() for name in self.targets},
                lengths={name: self._length_policy(name, chunk) for name in self.targets},
                seed=self.seed,
                is_unknown=self._is_unknown(model, batch, chunk),
            )
            samples = done.samples(model.vocabulary.modalities)
            # The generated segment is a sample's last one of its modality.
            codes = {name: [sample[name][-1] for sample in samples] for name in self.targets}
            yield {
                name: torch.stack(values) if model.vocabulary.spec(name).is_fixed else values
                for name, values in codes.items()
            }

    def _batch(self, model: MaskedTransformer, codec: Codec, chunk: slice) -> TokenBatch:
        media = part(self.inputs, chunk)
        media |= {name: edit.media[chunk] for name, edit in self.edit.items() if edit.codes is None}
        known = {name: edit.codes[chunk] for name, edit in self.edit.items() if edit.codes is not None}
        ids = torch.tensor(self.sample_id[chunk], dtype=torch.int64)
        return codec.samples(media, model.vocabulary.modalities, model.config.input_widths, known, ids)

    def _is_unknown(self, model: MaskedTransformer, batch: TokenBatch, chunk: slice) -> dict[str, Tensor]:
        """name -> (n, Q) bool along the flat codes of the edited targets."""
        samples, flags = batch.samples(model.vocabulary.modalities), {}
        for name, edit in self.edit.items():
            spec = model.vocabulary.spec(name)
            patterns = [
                edit.unknown_tokens(chunk.start + i, tuple(sample[name][0].shape[:-1]), spec, name).flatten()
                for i, sample in enumerate(samples)
            ]
            flags[name] = torch.cat(patterns)[:, None].expand(-1, spec.num_codebooks)
        return flags

    def _length_policy(self, name: str, chunk: slice) -> LengthPolicy:
        given = self.lengths.get(name)
        if given is None:
            return SampledLength(self.settings[name].length_temperature)
        if isinstance(given, (int, LengthPolicy)):
            return GivenLength(given) if isinstance(given, int) else given
        return GivenLength([int(length) for length in given[chunk]])


def _check_length(name: str, given: int | Sequence[int] | Tensor, spec: TokenSpec) -> None:
    if spec.is_fixed:
        raise ValueError(f"length of {name!r} given, but it always has {spec.shape()} tokens; leave it out")
    assert spec.max_length is not None
    _check_integers(f"length of {name!r}", [given] if isinstance(given, int) else given, 1, spec.max_length)


def _check_integers(what: str, values: Sequence[int] | Tensor, low: int, high: int) -> None:
    for value in values.tolist() if isinstance(values, Tensor) else values:
        if not isinstance(value, Integral) or not low <= int(value) <= high:
            raise ValueError(f"{what}: {value!r}, expected a whole number from {low} to {high}")


def request_size(inputs: Mapping[str, Any], edit: Mapping[str, Edit], num_samples: int | None) -> int:
    """The one B of all inputs and edits, or the number asked for where there are none.

    Raises:
        ValueError: batches that are empty or of different sizes, or nothing that says B.
    """
    sizes = {name: num_samples_of(batch, name) for name, batch in inputs.items()}
    sizes |= {f"edit of {name}": num_samples_of(one.batch, f"edit of {name}") for name, one in edit.items()}
    if num_samples is not None:
        sizes["num_samples"] = num_samples
    if not sizes:
        raise ValueError("inputs is empty: give at least one, or num_samples for unconditional generation")
    size = same_size(sizes)
    if size < 1:
        raise ValueError(f"num_samples={size}, expected at least 1")
    return size
