"""Media to codes and back, for all modalities of a model."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from maskmm.pipeline.inputs import check_names, chunks, join, num_samples_of, same_size, to_device, to_samples
from maskmm.vocabulary import Vocabulary
from tokenizers_vq.contract import Codes, Modality, TokenBatch, Tokenizer


class Codec:
    """The tokenizers of a model, by modality.

    Args:
        tokenizers: modality name -> tokenizer; put into eval mode.
        vocabulary: the model's.

    Raises:
        ValueError: a tokenizer of a modality that the vocabulary lacks, or with another spec.
    """

    def __init__(self, tokenizers: Mapping[str, Tokenizer], vocabulary: Vocabulary) -> None:
        self.tokenizers = {name: tokenizer.eval() for name, tokenizer in tokenizers.items()}
        self.device = torch.device("cpu")
        for name, tokenizer in self.tokenizers.items():
            if tokenizer.spec != vocabulary.spec(name):
                raise ValueError(
                    f"tokenizer {name!r} has {tokenizer.spec}, the model {vocabulary.spec(name)}"
                )

    def to(self, device: torch.device | str) -> None:
        """Move all tokenizers."""
        self.device = torch.device(device)
        for tokenizer in self.tokenizers.values():
            tokenizer.to(self.device)

    @torch.no_grad()
    def encode(self, media: Mapping[str, Any], batch_size: int) -> dict[str, Codes]:
        """Codes on the CPU; see `Pipeline.encode`."""
        check_names(list(media), self.tokenizers, "inputs")
        codes: dict[str, Codes] = {}
        for name, batch in media.items():
            tokenizer, size = self.tokenizers[name], num_samples_of(batch, name)
            parts = [tokenizer.encode(to_device(batch[c], self.device)) for c in chunks(size, batch_size)]
            codes[name] = to_device(join(parts), torch.device("cpu"))
        return codes

    @torch.no_grad()
    def samples(
        self,
        media: Mapping[str, Any],
        modalities: Sequence[Modality],
        with_inputs: Collection[str],
        known: Mapping[str, Codes] | None = None,
        sample_id: Tensor | None = None,
    ) -> TokenBatch:
        """Tokens of B samples.

        Args:
            media: modality name -> batch of media, all of B samples.
            modalities: of the model.
            with_inputs: modalities of which the model reads continuous inputs, beside or instead of codes.
            known: modality name -> codes that stand for media.
            sample_id: (B,) int64; 0 .. B - 1 where not given. It says B where there are neither media nor codes.

        Raises:
            ValueError: a modality without codes that the model does not read continuous inputs of, or the other way
                round; media that the tokenizer refuses.
        """
        sizes = {name: num_samples_of(batch, name) for name, batch in {**media, **(known or {})}.items()}
        size = same_size(sizes) if sample_id is None else len(sample_id)
        bare = [name for name in media if not self.tokenizers[name].has_encoder]
        for name in media:
            has_codes = name not in bare and self.tokenizers[name].spec.has_codes
            if not has_codes and name not in with_inputs:
                raise ValueError(f"the tokenizer of {name!r} has no codes, and the model no inputs for it")
        codes = self.encode({name: batch for name, batch in media.items() if name not in bare}, size)
        for name in bare:
            spec = self.tokenizers[name].spec
            codes[name] = torch.zeros(size, *spec.shape(), spec.num_codebooks, dtype=torch.int64)
        # Modalities in the order they were given.
        ordered = {name: codes[name] for name in media} | dict(known or {})
        batch = TokenBatch.from_samples(to_samples(ordered, size), modalities, sample_id)
        kept = {name: value for name, value in batch.codes.items() if name not in bare}
        inputs = {name: self._inputs(name, media[name]) for name in media if name in with_inputs}
        return replace(batch, codes=kept, inputs=inputs)

    def _inputs(self, name: str, batch: Any) -> Tensor:
        values = self.tokenizers[name].inputs(to_device(batch, self.device))
        if values is None:
            raise ValueError(
                f"the model reads continuous inputs of {name!r}, which its tokenizer does not make"
            )
        return values.cpu()

    @torch.no_grad()
    def decode(self, codes: Mapping[str, Codes], batch_size: int) -> dict[str, Any]:
        """Media, tensors on the CPU; see `Pipeline.decode`."""
        check_names(list(codes), self.tokenizers, "codes")
        media: dict[str, Any] = {}
        for name, batch in codes.items():
            tokenizer, size = self.tokenizers[name], num_samples_of(batch, f"{name} codes")
            parts = [tokenizer.decode(to_device(batch[c], self.device)) for c in chunks(size, batch_size)]
            media[name] = to_device(join(parts), torch.device("cpu"))
        return media
