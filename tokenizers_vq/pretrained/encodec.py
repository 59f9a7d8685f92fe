"""EnCodec (Défossez et al., 2022) of transformers."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from tokenizers_vq.pretrained.codec import CodecSizes, PretrainedCodec


class PretrainedEncodec(PretrainedCodec):
    """A mono EnCodec without chunks, such as facebook/encodec_24khz or the one of MusicGen.

    The 48 kHz model has a loudness beside the codes of each chunk, which codes alone cannot give back: it is refused.
    Arguments as `PretrainedCodec`.
    """

    family: ClassVar[str] = "Encodec"

    def sizes(self) -> CodecSizes:
        """See `PretrainedCodec`.

        Raises:
            ValueError: a stereo, chunked or normalising model.
        """
        made = self.model.config
        if made.audio_channels != 1 or made.normalize or made.chunk_length_s is not None:
            raise ValueError(
                f"an EnCodec of audio_channels={made.audio_channels}, normalize={made.normalize}, "
                f"chunk_length_s={made.chunk_length_s}: expected a mono one whose codes are all there is (24 kHz)"
            )
        most = self.model.quantizer.num_quantizers
        return CodecSizes(made.sampling_rate, made.hop_length, made.codebook_size, most)

    def encode_clips(self, clips: Tensor) -> Tensor:
        """See `PretrainedCodec`."""
        # The narrowest bandwidth with all the codebooks asked for: residual levels do not depend on later ones.
        count = self.model.quantizer.get_num_quantizers_for_bandwidth
        enough = [b for b in self.model.config.target_bandwidths if count(b) >= self.spec.num_codebooks]
        codes: Tensor = self.model.encode(clips, bandwidth=min(enough)).audio_codes
        return codes[0]

    def decode_codes(self, codes: Tensor) -> Tensor:
        """See `PretrainedCodec`."""
        clips: Tensor = self.model.decode(codes[None], [None]).audio_values
        return clips

    def code_vectors(self) -> Tensor:
        """(Q, codebook_size, D)."""
        layers = self.model.quantizer.layers[: self.spec.num_codebooks]
        return torch.stack([layer.codebook.embed for layer in layers])
