"""Waveforms to continuous patches of a Mel filter bank (BEATs, Chen et al., 2023; SSAST, Gong et al., 2022)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, NoReturn

import torch
from einops import rearrange
from torch import Tensor
from torchaudio.compliance.kaldi import fbank

from tokenizers_vq.audio.waveforms import pad_waveforms
from tokenizers_vq.contract import Tokenizer, TokenSpec

_RATE = 16000
_WINDOW, _HOP = 400, 160
_INT16 = 2**15
"""Kaldi's features are those of 16-bit integers."""


class FbankPatches(Tokenizer):
    """Waveforms at 16 kHz, list of (T,) float in [-1, 1] -> inputs (n, p p) of squares of a log Mel filter bank.

    Frames of 25 ms every 10 ms; the squares of a time step lie one after the other, low bands first. Frames that do not
    fill a square are left out. There are no codes: `encode` says only where patches are.

    Args:
        num_bands: Mel bands.
        patch_size: p, frames and bands of a square.
        mean, std: of the filter bank; it is normalised as (x - mean) / (2 std).
        max_seconds: longest clip.

    Raises:
        ValueError: bands that squares do not divide.
    """

    media: ClassVar[str] = "audio"

    def __init__(
        self,
        num_bands: int = 128,
        patch_size: int = 16,
        mean: float = 15.41663,
        std: float = 6.55582,
        max_seconds: float = 60.0,
    ) -> None:
        super().__init__()
        if num_bands < patch_size or num_bands % patch_size:
            raise ValueError(f"num_bands={num_bands} must be a multiple of patch_size={patch_size}")
        self.num_bands, self.patch_size, self.mean, self.std = num_bands, patch_size, mean, std
        self._longest = int(max_seconds * _RATE)
        self._spec = TokenSpec(
            0,
            0,
            axes=("t", "f"),
            grid=(None, num_bands // patch_size),
            max_length=max(1, self._num_steps(self._longest)),
            stride=(patch_size * _HOP, patch_size),
            rate=_RATE,
        )

    @property
    def spec(self) -> TokenSpec:
        """A ("t", "f") grid of varying length; strides are in samples and bands."""
        return self._spec

    @property
    def has_decoder(self) -> bool:
        """False: patches are inputs alone."""
        return False

    def encode(self, media: Tensor | Sequence[Tensor], lengths: Tensor | None = None) -> list[Tensor]:
        """No codes, list of (t, f, 0) int64: where the patches of each clip are."""
        _, sizes = self._clips(media, lengths)
        bands = self.num_bands // self.patch_size
        return [torch.zeros(self._num_steps(size), bands, 0, dtype=torch.int64) for size in sizes.tolist()]

    def inputs(self, media: Tensor | Sequence[Tensor], lengths: Tensor | None = None) -> Tensor:
        """Patches (n, p p) float32 of all clips, time slowest, each flattened frame by frame."""
        return torch.cat([patches.flatten(0, 1) for patches in self.clip_patches(media, lengths)])

    def clip_patches(self, media: Tensor | Sequence[Tensor], lengths: Tensor | None = None) -> list[Tensor]:
        """Patches, list of (t, f, p p) float32, of each clip; `inputs` of all of them on their grids.

        Raises:
            ValueError: as `encode`.
        """
        padded, sizes = self._clips(media, lengths)
        return [self._patches(clip[:size]) for clip, size in zip(padded, sizes.tolist())]

    def decode(self, codes: Any) -> NoReturn:
        """Refused: see the class.

        Raises:
            ValueError: always.
        """
        raise ValueError("patches are inputs alone and have no decoder; expected codes of another tokenizer")

    def _clips(self, media: Tensor | Sequence[Tensor], lengths: Tensor | None) -> tuple[Tensor, Tensor]:
        shortest = _WINDOW + (self.patch_size - 1) * _HOP
        return pad_waveforms(media, lengths, shortest, self._longest)

    def _num_steps(self, size: int) -> int:
        return (1 + (size - _WINDOW) // _HOP) // self.patch_size

    def _patches(self, clip: Tensor) -> Tensor:
        bank = fbank(clip[None] * _INT16, num_mel_bins=self.num_bands, sample_frequency=_RATE)
        bank = (bank - self.mean) / (2 * self.std)
        p = self.patch_size
        whole = bank[: bank.shape[0] // p * p]
        return rearrange(whole, "(t p) (f q) -> t f (p q)", p=p, q=p)
