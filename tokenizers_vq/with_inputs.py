"""Codes of one tokenizer beside the continuous inputs of another, as BEiT has them (Bao et al., 2022)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from tokenizers_vq.contract import Codes, Tokenizer, TokenSpec, load_tokenizer
from tokenizers_vq.frozen import Frozen

_CODES, _READER = "codes", "inputs"


class TokenizerWithInputs(Tokenizer):
    """The codes of a tokenizer, and what another one makes of the same media as continuous inputs.

    A model with `input_widths` for the modality is trained on both, and used on both at the front doors.

    Args:
        tokenizer: makes the codes and decodes them, e.g. an `ImageVQ`.
        reader: makes an input for each position of the codes, e.g. `ImagePatches`; its codes, if it has any, are not
            used.

    Raises:
        ValueError: tokenizers of other kinds of media, or of positions that are not the same.
    """

    def __init__(self, tokenizer: Tokenizer, reader: Tokenizer) -> None:
        super().__init__()
        one, other = tokenizer.spec, reader.spec
        if tokenizer.media != reader.media or _positions(one) != _positions(other):
            raise ValueError(
                f"codes of {type(tokenizer).__name__} ({tokenizer.media}, {_positions(one)}) beside inputs of "
                f"{type(reader).__name__} ({reader.media}, {_positions(other)}); expected one kind of media and the "
                "same positions"
            )
        # Their weights lie in folders of their own.
        self._tokenizer, self._reader = Frozen(tokenizer), Frozen(reader)
        self.media = tokenizer.media  # type: ignore[misc]

    @property
    def tokenizer(self) -> Tokenizer:
        """What makes the codes."""
        assert isinstance(self._tokenizer.network, Tokenizer)
        return self._tokenizer.network

    @property
    def reader(self) -> Tokenizer:
        """What makes the continuous inputs."""
        assert isinstance(self._reader.network, Tokenizer)
        return self._reader.network

    @property
    def spec(self) -> TokenSpec:
        """Of the codes."""
        return self.tokenizer.spec

    @property
    def has_encoder(self) -> bool:
        """As that of the codes."""
        return self.tokenizer.has_encoder

    @property
    def has_decoder(self) -> bool:
        """As that of the codes."""
        return self.tokenizer.has_decoder

    @property
    def specials(self) -> Mapping[str, int]:
        """As those of the codes."""
        return self.tokenizer.specials

    def config(self) -> dict[str, Any]:
        """Nothing: both tokenizers have folders of their own."""
        return {}

    def encode(self, media: Any, lengths: Tensor | None = None) -> Codes:
        """Codes of a batch of media.

        Raises:
            ValueError: as the tokenizer of the codes.
        """
        return self.tokenizer.encode(media, lengths)

    def decode(self, codes: Codes | Sequence[Tensor]) -> Any:
        """Media of a batch of codes.

        Raises:
            ValueError: as the tokenizer of the codes.
        """
        return self.tokenizer.decode(codes)

    def inputs(self, media: Any) -> Tensor | None:
        """(n, C) float32, of the reader.

        Raises:
            ValueError: as the reader.
        """
        return self.reader.inputs(media)

    def code_vectors(self) -> Tensor | None:
        """Of the codes."""
        return self.tokenizer.code_vectors()

    def continues_word(self) -> Tensor | None:
        """Of the codes."""
        return self.tokenizer.continues_word()

    def save_files(self, folder: Path) -> None:
        """Write the folders of both."""
        self.tokenizer.save(folder / _CODES)
        self.reader.save(folder / _READER)

    @classmethod
    def from_folder(cls, folder: Path, init_args: dict[str, Any]) -> TokenizerWithInputs:
        """Build from a saved folder.

        Raises:
            ValueError: folders that are missing or damaged.
        """
        return cls(load_tokenizer(folder / _CODES), load_tokenizer(folder / _READER), **init_args)

    def fingerprint(self) -> str:
        """SHA-256 of both."""
        both = "\n".join((self.tokenizer.fingerprint(), self.reader.fingerprint()))
        return hashlib.sha256(both.encode()).hexdigest()


def _positions(spec: TokenSpec) -> tuple[tuple[str, ...], Any, int | None]:
    """What says where codes are, and how many."""
    return spec.axes, spec.grid, spec.max_length
