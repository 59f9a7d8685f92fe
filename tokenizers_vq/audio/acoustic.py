"""Codes of filter bank patches, targets for masked models of sound.

Chen et al., "BEATs: Audio Pre-Training with Acoustic Tokenizers" (2023).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar, NoReturn

import torch
from torch import Tensor

from tokenizers_vq.audio.fbank_patches import FbankPatches
from tokenizers_vq.contract import Tokenizer, TokenSpec
from tokenizers_vq.quantizers import Quantizer, RandomProjectionQuantizer


class AcousticTokenizer(Tokenizer):
    """Clips at 16 kHz, list of (T,) float in [-1, 1] -> codes, list of (t, f, Q), and the patches as inputs.

    A masked model that takes the inputs in place of the codes (`InputsInsteadOfCodes`) is BEATs'.

    Args:
        quantizer: tells the number of codes.
        patches: the front end.
    """

    media: ClassVar[str] = "audio"

    def __init__(self, quantizer: Quantizer, patches: FbankPatches) -> None:
        super().__init__()
        self.patches, self.quantizer = patches, quantizer
        self._spec = replace(
            self.patches.spec, codebook_size=quantizer.codebook_size, num_codebooks=quantizer.num_codebooks
        )

    @property
    def spec(self) -> TokenSpec:
        """A ("t", "f") grid of varying length; strides are in samples and bands."""
        return self._spec

    @property
    def has_decoder(self) -> bool:
        """False: codes have no sound."""
        return False

    def inputs(self, media: Tensor | Sequence[Tensor], lengths: Tensor | None = None) -> Tensor:
        """Patches (n, p p) float32 of all clips, in the codes' order; see FbankPatches."""
        return self.patches.inputs(media, lengths)

    def decode(self, codes: Any) -> NoReturn:
        """Refused: see the class.

        Raises:
            ValueError: always.
        """
        raise ValueError(
            "acoustic codes have no sound; expected a use as targets, or codes of another tokenizer"
        )

    def code_vectors(self) -> Tensor | None:
        """(Q, codebook_size, D) vectors of the quantizer."""
        return self.quantizer.code_vectors()


class RandomAcoustic(AcousticTokenizer):
    """BEATs' first tokenizer: a frozen random projection of each patch and a frozen random codebook; nothing learns.

    Args:
        patches: the front end; BEATs' where not given.
        codebook_size: codes of each codebook.
        codebook_dim: width that patches are projected to.
        num_codebooks: codebooks, each with a projection of its own; BEATs has one.
        seed: of projections and codebooks.

    Raises:
        ValueError: sizes below 1.
    """

    def __init__(
        self,
        patches: FbankPatches | None = None,
        codebook_size: int = 1024,
        codebook_dim: int = 256,
        num_codebooks: int = 1,
        seed: int = 0,
    ) -> None:
        front = FbankPatches() if patches is None else patches
        quantizer = RandomProjectionQuantizer(
            codebook_size, front.patch_size**2, codebook_dim, num_codebooks, seed
        )
        super().__init__(quantizer, front)

    @torch.no_grad()
    def encode(self, media: Tensor | Sequence[Tensor], lengths: Tensor | None = None) -> list[Tensor]:
        """Codes, list of (t, f, Q) int64."""
        clips = self.patches.clip_patches(media, lengths)
        codes_nFQ = self.quantizer.encode(torch.cat(clips))
        return list(codes_nFQ.split([len(clip) for clip in clips]))
