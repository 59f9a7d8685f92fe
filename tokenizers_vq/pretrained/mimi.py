"""Mimi (Défossez et al., "Moshi", 2024) of transformers: one semantic codebook, then acoustic residual levels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from tokenizers_vq.pretrained.codec import PretrainedCodec
from tokenizers_vq.pretrained.public import load_public, plain_config, public_class


class PretrainedMimi(PretrainedCodec):
    """A Mimi, such as kyutai/mimi.

    Args:
        config: of transformers' MimiModel.
        num_codebooks, max_length, resample_from: see `PretrainedCodec`; Moshi uses 8 of the 32 codebooks.

    Raises:
        ValueError: transformers is missing; as `PretrainedCodec`.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        num_codebooks: int | None = None,
        max_length: int = 750,
        resample_from: int | None = None,
    ) -> None:
        made = public_class("transformers", "MimiConfig").from_dict(dict(config))
        if num_codebooks is not None and num_codebooks < made.num_semantic_quantizers:
            raise ValueError(
                f"num_codebooks={num_codebooks}, expected at least the {made.num_semantic_quantizers} semantic ones"
            )
        super().__init__(
            public_class("transformers", "MimiModel")(made),
            made.sampling_rate,
            made.frame_size,
            made.codebook_size,
            made.num_quantizers,
            num_codebooks,
            max_length,
            resample_from,
        )

    @classmethod
    def from_public(cls, source: Path | str, **settings: Any) -> Self:
        """Build from a folder or hub id.

        Args:
            source: see above.
            settings: other arguments of the class.

        Raises:
            ValueError: no such model, or weights that do not fit; as the class.
        """
        model = load_public("transformers", "MimiModel", source)
        codec = cls(plain_config(model.config), **settings)
        codec.model.load_state_dict(model.state_dict())
        return codec

    @property
    def fewest_codebooks(self) -> int:
        """The semantic ones."""
        count: int = self.model.config.num_semantic_quantizers
        return count

    def encode_clips(self, clips: Tensor) -> Tensor:
        """See `PretrainedCodec`."""
        codes: Tensor = self.model.encode(clips, num_quantizers=self.spec.num_codebooks).audio_codes
        return codes

    def decode_codes(self, codes: Tensor) -> Tensor:
        """See `PretrainedCodec`."""
        clips: Tensor = self.model.decode(codes).audio_values
        return clips

    def code_vectors(self) -> Tensor:
        """(Q, codebook_size, D); semantic and acoustic levels each in a space of their own."""
        halves = self.model.quantizer
        layers = [
            *halves.semantic_residual_vector_quantizer.layers,
            *halves.acoustic_residual_vector_quantizer.layers,
        ]
        return torch.stack([layer.codebook.embed for layer in layers[: self.spec.num_codebooks]])
