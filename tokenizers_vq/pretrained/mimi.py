"""Mimi (Défossez et al., "Moshi", 2024) of transformers: one semantic codebook, then acoustic residual levels."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from tokenizers_vq.pretrained.codec import CodecSizes, PretrainedCodec


class PretrainedMimi(PretrainedCodec):
    """A Mimi, such as kyutai/mimi, of whose 32 codebooks Moshi uses 8; arguments as `PretrainedCodec`."""

    family: ClassVar[str] = "Mimi"

    def sizes(self) -> CodecSizes:
        """See `PretrainedCodec`; the semantic codebooks are always used."""
        made = self.model.config
        counts = (made.num_quantizers, made.num_semantic_quantizers)
        return CodecSizes(made.sampling_rate, made.frame_size, made.codebook_size, *counts)

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
