"""Text as its UTF-8 bytes, with the codes of ByT5 (Xue et al., 2022): three special codes, then 256 bytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from tokenizers_vq.checks import varying_codes
from tokenizers_vq.contract import Tokenizer, TokenSpec
from tokenizers_vq.word_groups import group_words

NUM_SPECIAL = 3  # padding, end of text, unknown
_SPACES = (9, 10, 11, 12, 13, 32)


class ByteText(Tokenizer):
    """Texts, list of str <-> codes, list of (n, 1): byte b has code b + 3.

    Nothing is normalised: `decode(encode([t]))` is `[t]` for every text. ByT5's special codes are never encoded, and
    are left out when codes are decoded; bytes that are no UTF-8 (a model may generate such) are shown as U+FFFD.

    Args:
        max_length: most bytes in a text.

    Raises:
        ValueError: a length below 1.
    """

    media: ClassVar[str] = "text"

    def __init__(self, max_length: int = 256) -> None:
        super().__init__()
        self.max_length = max_length
        self._spec = TokenSpec(NUM_SPECIAL + 256, axes=("t",), max_length=max_length)

    @property
    def spec(self) -> TokenSpec:
        """One codebook along "t", of varying length."""
        return self._spec

    def encode(self, media: Sequence[str], lengths: Tensor | None = None) -> list[Tensor]:
        """Codes, list of (n, 1) int64, of texts.

        Raises:
            ValueError: no list of str, an empty text, one of more than max_length bytes, or half a surrogate pair.
        """
        if isinstance(media, str) or not all(isinstance(text, str) for text in media):
            raise ValueError(f"text of type {type(media).__name__}, expected a list of str")
        return [self._codes(text)[:, None] for text in media]

    def groups(self, media: Sequence[str]) -> list[Tensor]:
        """For each text (n,) int64: which word each byte belongs to, from 0; a space begins a word.

        Raises:
            ValueError: as `encode`.
        """
        return [group_words(codes[:, 0], self.continues_word()) for codes in self.encode(media)]

    def continues_word(self) -> Tensor:
        """(259,) bool: True for bytes that are no space."""
        is_byte = torch.arange(NUM_SPECIAL + 256) >= NUM_SPECIAL
        is_byte[torch.tensor(_SPACES) + NUM_SPECIAL] = False
        return is_byte

    def decode(self, codes: Sequence[Tensor] | Tensor) -> list[str]:
        """Texts of codes, list of (n, 1) or (B, n, 1)."""
        batch = [sample[:, 0].cpu() - NUM_SPECIAL for sample in varying_codes(codes, self.spec, "text codes")]
        return [
            sample[sample >= 0].to(torch.uint8).numpy().tobytes().decode("utf-8", errors="replace")
            for sample in batch
        ]

    def _codes(self, text: str) -> Tensor:
        try:
            data = text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise ValueError(
                f"text {text[:40]!r} cannot be written in UTF-8, expected whole characters: {error}"
            ) from error
        if not 1 <= len(data) <= self.max_length:
            raise ValueError(
                f"text {text[:40]!r} has {len(data)} bytes, expected 1 to {self.max_length}; shorten it, or train with "
                "a larger max_length"
            )
        return torch.frombuffer(bytearray(data), dtype=torch.uint8).long() + NUM_SPECIAL
