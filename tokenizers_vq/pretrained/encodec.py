"""EnCodec (Défossez et al., 2022) of transformers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from tokenizers_vq.pretrained.codec import PretrainedCodec
from tokenizers_vq.pretrained.public import load_public, plain_config, public_class


class PretrainedEncodec(PretrainedCodec):
    """A mono EnCodec without chunks, such as facebook/encodec_24khz or the one of MusicGen.

    The 48 kHz model has a loudness beside the codes of each chunk, which codes alone cannot give back: it is refused.

    Args:
        config: of transformers' EncodecModel.
        num_codebooks, max_length, resample_from: see `PretrainedCodec`.

    Raises:
        ValueError: transformers is missing; a stereo, chunked or normalising model; as `PretrainedCodec`.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        num_codebooks: int | None = None,
        max_length: int = 1500,
        resample_from: int | None = None,
    ) -> None:
        made = public_class("transformers", "EncodecConfig").from_dict(dict(config))
        if made.audio_channels != 1 or made.normalize or made.chunk_length_s is not None:
            raise ValueError(
                f"an EnCodec of audio_channels={made.audio_channels}, normalize={made.normalize}, "
                f"chunk_length_s={made.chunk_length_s}: expected a mono one whose codes are all there is (24 kHz)"
            )
        model = public_class("transformers", "EncodecModel")(made)
        super().__init__(
            model,
            made.sampling_rate,
            made.hop_length,
            made.codebook_size,
            model.quantizer.num_quantizers,
            num_codebooks,
            max_length,
            resample_from,
        )
        # The narrowest bandwidth with all the codebooks asked for: residual levels do not depend on later ones.
        count = model.quantizer.get_num_quantizers_for_bandwidth
        self._bandwidth = min(b for b in made.target_bandwidths if count(b) >= self.spec.num_codebooks)

    @classmethod
    def from_public(cls, source: Path | str, **settings: Any) -> Self:
        """Build from a folder or hub id.

        Args:
            source: see above.
            settings: other arguments of the class.

        Raises:
            ValueError: no such model, or weights that do not fit; as the class.
        """
        model = load_public("transformers", "EncodecModel", source)
        codec = cls(plain_config(model.config), **settings)
        codec.model.load_state_dict(model.state_dict())
        return codec

    def encode_clips(self, clips: Tensor) -> Tensor:
        """See `PretrainedCodec`."""
        codes: Tensor = self.model.encode(clips, bandwidth=self._bandwidth).audio_codes
        return codes[0]

    def decode_codes(self, codes: Tensor) -> Tensor:
        """See `PretrainedCodec`."""
        clips: Tensor = self.model.decode(codes[None], [None]).audio_values
        return clips

    def code_vectors(self) -> Tensor:
        """(Q, codebook_size, D)."""
        layers = self.model.quantizer.layers[: self.spec.num_codebooks]
        return torch.stack([layer.codebook.embed for layer in layers])
