"""Media to codes and back, for all modalities of a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from maskmm.pipeline.inputs import check_names, chunks, join, num_samples_of, to_device
from maskmm.vocabulary import Vocabulary
from tokenizers_vq.contract import Codes, Tokenizer


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
    def decode(self, codes: Mapping[str, Codes], batch_size: int) -> dict[str, Any]:
        """Media, tensors on the CPU; see `Pipeline.decode`."""
        check_names(list(codes), self.tokenizers, "codes")
        media: dict[str, Any] = {}
        for name, batch in codes.items():
            tokenizer, size = self.tokenizers[name], num_samples_of(batch, f"{name} codes")
            parts = [tokenizer.decode(to_device(batch[c], self.device)) for c in chunks(size, batch_size)]
            media[name] = to_device(join(parts), torch.device("cpu"))
        return media
