"""Descript's audio codec, DAC (Kumar et al., 2023), of transformers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from tokenizers_vq.pretrained.codec import PretrainedCodec
from tokenizers_vq.pretrained.public import load_public, plain_config, public_class


class PretrainedDac(PretrainedCodec):
    """A DAC, such as descript/dac_16khz, dac_24khz or dac_44khz.

    Args:
        config: of transformers' DacModel.
        num_codebooks, max_length, resample_from: see `PretrainedCodec`.

    Raises:
        ValueError: transformers is missing; as `PretrainedCodec`.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        num_codebooks: int | None = None,
        max_length: int = 1500,
        resample_from: int | None = None,
    ) -> None:
        made = public_class("transformers", "DacConfig").from_dict(dict(config))
        super().__init__(
            public_class("transformers", "DacModel")(made),
            made.sampling_rate,
            made.hop_length,
            made.codebook_size,
            made.n_codebooks,
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
        model = load_public("transformers", "DacModel", source)
        codec = cls(plain_config(model.config), **settings)
        codec.model.load_state_dict(model.state_dict())
        return codec

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
