"""What the wrappers of neural audio codecs share: checks, sample rates, clips of unequal length."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import Tensor
from torchaudio.functional import resample

from tokenizers_vq.audio.waveforms import pad_waveforms
from tokenizers_vq.checks import residual_codes
from tokenizers_vq.contract import Tokenizer, TokenSpec
from tokenizers_vq.pretrained.public import load_public, plain_config, public_class


@dataclass(frozen=True)
class CodecSizes:
    """Geometry of a codec.

    Attributes:
        rate: samples a second that it was trained on.
        hop: samples a token.
        codebook_size: codes of each codebook.
        most_codebooks: codebooks that it has.
        fewest_codebooks: how many of the first are always encoded.
    """

    rate: int
    hop: int
    codebook_size: int
    most_codebooks: int
    fewest_codebooks: int = 1


class PretrainedCodec(Tokenizer):
    """Clips, list of (T,) float in [-1, 1] <-> codes, list of (n, Q): residual levels of a frozen codec.

    Every clip is encoded at its own length: its codes do not depend on what else is in the batch. A decoded clip has
    whole tokens, so it is up to one token longer than the clip that was encoded.

    Args:
        config: of the model in transformers.
        num_codebooks: how many codebooks are used, from the first; all where None.
        max_length: longest clip, in tokens.
        resample_from: samples a second of the clips that are given and given back, resampled on the way; None for
            clips at the codec's own rate. Files of another rate than this are refused where they are read.

    Raises:
        ValueError: transformers is missing; numbers out of range; a codec whose codes alone give no clip back.
    """

    media: ClassVar[str] = "audio"

    family: ClassVar[str]
    """The model is transformers' <family>Model, its configuration <family>Config."""

    def __init__(
        self,
        config: Mapping[str, Any],
        num_codebooks: int | None = None,
        max_length: int = 1500,
        resample_from: int | None = None,
    ) -> None:
        super().__init__()
        made = public_class("transformers", f"{self.family}Config").from_dict(dict(config))
        self.model = public_class("transformers", f"{self.family}Model")(made).requires_grad_(False).eval()
        sizes = self.sizes()
        used = sizes.most_codebooks if num_codebooks is None else num_codebooks
        if not sizes.fewest_codebooks <= used <= sizes.most_codebooks:
            raise ValueError(
                f"num_codebooks={num_codebooks}, expected {sizes.fewest_codebooks} to {sizes.most_codebooks}: those "
                "that the codec has"
            )
        if resample_from is not None and resample_from < 1:
            raise ValueError(f"resample_from={resample_from}, expected samples a second, or None")
        self.rate, self.hop, self.media_rate = sizes.rate, sizes.hop, resample_from or sizes.rate
        self._spec = TokenSpec(
            sizes.codebook_size,
            used,
            axes=("t",),
            max_length=max_length,
            stride=(self.hop * self.media_rate / self.rate,),
            rate=self.media_rate,
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
        model = load_public("transformers", f"{cls.family}Model", source)
        codec = cls(plain_config(model.config), **settings)
        codec.model.load_state_dict(model.state_dict())
        return codec

    @abstractmethod
    def sizes(self) -> CodecSizes:
        """Geometry of `self.model`.

        Raises:
            ValueError: a model whose codes alone give no clip back.
        """

    @property
    def spec(self) -> TokenSpec:
        """Residual levels along "t", of varying length."""
        return self._spec

    @abstractmethod
    def encode_clips(self, clips: Tensor) -> Tensor:
        """Codes (B, Q, n) of clips (B, 1, T) at the codec's rate, all of them real samples."""

    @abstractmethod
    def decode_codes(self, codes: Tensor) -> Tensor:
        """Clips (B, 1, T) at the codec's rate, of codes (B, Q, n)."""

    @torch.no_grad()
    def encode(self, media: Tensor | Sequence[Tensor], lengths: Tensor | None = None) -> list[Tensor]:
        """Codes, list of (n, Q) int64, of clips: list of (T,) float in [-1, 1], or (B, T) with `lengths`.

        Raises:
            ValueError: wrong type, dtype, shape or range, NaN, a clip shorter than one token or too long.
        """
        stride, longest = self._spec.stride[0], self._spec.max_tokens
        padded, sizes = pad_waveforms(media, lengths, math.ceil(stride), math.floor(longest * stride))
        device = next(self.model.parameters()).device
        codes: dict[int, Tensor] = {}
        for size in sizes.unique().tolist():
            rows = (sizes == size).nonzero()[:, 0]
            clips = resample(padded[rows, :size].to(device), self.media_rate, self.rate)
            found = self.encode_clips(clips[:, None])[:, : self._spec.num_codebooks]
            codes.update(zip(rows.tolist(), found.transpose(1, 2).long().to(padded.device)))
        return [codes[row] for row in range(len(sizes))]

    @torch.no_grad()
    def decode(self, codes: Sequence[Tensor] | Tensor) -> list[Tensor]:
        """Clips, list of (T,) float32 in [-1, 1], of codes, list of (n, q): the first q codebooks, whose levels add up.

        Raises:
            ValueError: codes that do not fit the spec, no codebook or more than Q.
        """
        batch = residual_codes(codes, self._spec, "audio codes")
        device = next(self.model.parameters()).device
        decoded: dict[int, Tensor] = {}
        for length in sorted({len(sample) for sample in batch}):
            rows = [row for row, sample in enumerate(batch) if len(sample) == length]
            stacked = torch.stack([batch[row] for row in rows]).transpose(1, 2)
            found = self.decode_codes(stacked.to(device))[:, 0, : length * self.hop].float()
            decoded.update(zip(rows, resample(found, self.rate, self.media_rate).clamp(-1, 1)))
        return [decoded[row].to(batch[row].device) for row in range(len(batch))]

    def train(self, mode: bool = True) -> Self:
        """Stays in eval mode: codecs drop codebooks at random in training."""
        return super().train(False)
