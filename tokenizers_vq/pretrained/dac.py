"""Descript's audio codec, DAC (Kumar et al., 2023), of transformers."""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from tokenizers_vq.pretrained.codec import CodecSizes, PretrainedCodec


class PretrainedDac(PretrainedCodec):
    """A DAC, such as descript/dac_16khz, dac_24khz or dac_44khz; arguments as `PretrainedCodec`."""

    family: ClassVar[str] = "Dac"

    def sizes(self) -> CodecSizes:
        """See `PretrainedCodec`."""
        made = self.model.config
        return CodecSizes(made.sampling_rate, made.hop_length, made.codebook_size, made.n_codebooks)

    def encode_clips(self, clips: Tensor) -> Tensor:
        """See `PretrainedCodec`."""
        whole = F.pad(clips, (0, -clips.shape[2] % self.hop))  # as transformers' DacFeatureExtractor does
        codes: Tensor = self.model.encode(whole, n_quantizers=self.spec.num_codebooks).audio_codes
        return codes

    def decode_codes(self, codes: Tensor) -> Tensor:
        """See `PretrainedCodec`."""
        clips: Tensor = self.model.decode(audio_codes=codes).audio_values
        return clips[:, None]

    def code_vectors(self) -> Tensor:
        """(Q, codebook_size, D), in the space where levels are added."""
        levels = self.model.quantizer.quantizers[: self.spec.num_codebooks]
        with torch.no_grad():
            return torch.stack([q.out_proj(q.codebook.weight.T[None])[0].T for q in levels])
