"""Text tokenizers of public models (WordPiece, byte-level BPE) with their own vocabulary and special tokens."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from tokenizers import Encoding, models, pre_tokenizers
from torch import Tensor

from tokenizers_vq.checks import varying_codes
from tokenizers_vq.contract import Tokenizer, TokenSpec
from tokenizers_vq.public_vocabulary import PublicVocabulary, read_pieces

_FILE = "tokenizer.json"
_BYTE_LEVEL_SPACES = "ĠĊĉ"  # how byte-level pieces write a space, a new line and a tabulator


class PretrainedText(Tokenizer):
    """Texts, list of str <-> codes, list of (n, 1): the pieces of a `tokenizers` file, without special tokens.

    The rows that a model wants around a text ([CLS], [SEP]) are no codes: `specials` says which codes they are, and
    the model's vocabulary aliases them. A special token that is written in a text ("the [MASK] sat") is read as one.

    Args:
        definition: contents of a `tokenizer.json` file; what it says about truncation and padding is left out.
        codebook_size: rows of the model's table, which may be more than the vocabulary has pieces.
        max_length: largest number of pieces in a text.
        specials: "[CLS]", "[SEP]", "[MASK]" -> code, for those that the model has.

    Raises:
        ValueError: no such definition, more pieces than rows, or a special outside them.
    """

    media: ClassVar[str] = "text"

    def __init__(
        self, definition: str, codebook_size: int, max_length: int, specials: Mapping[str, int]
    ) -> None:
        super().__init__()
        self._pieces = read_pieces(definition, "the definition of the text tokenizer")
        largest = max(self._pieces.get_vocab(with_added_tokens=True).values(), default=-1)
        if largest >= codebook_size:
            raise ValueError(
                f"the text tokenizer has codes up to {largest}, the model a table of {codebook_size} rows; they do "
                "not belong together"
            )
        stray = {name: code for name, code in specials.items() if not 0 <= code < codebook_size}
        if stray:
            raise ValueError(f"special tokens {stray}, expected codes from 0 to {codebook_size - 1}")
        self._specials = dict(specials)
        self.max_length = max_length
        self._spec = TokenSpec(codebook_size, axes=("t",), max_length=max_length)

    @classmethod
    def from_public(
        cls,
        source: Path | str,
        codebook_size: int,
        max_rows: int,
        settings: Mapping[str, Any] | None = None,
    ) -> PretrainedText:
        """The tokenizer of a public model.

        Args:
            source: folder with its vocabulary files; or the contents of a `tokenizer.json`, where `settings` is given.
            codebook_size: rows of the model's table.
            max_rows: positions of the model; those of special tokens are taken off.
            settings: names of its special tokens, such as {"mask_token": "[MASK]"}.

        Raises:
            ValueError: files that are missing, cannot be read or do not fit; special tokens that packing cannot place.
        """
        if settings is None:
            vocabulary = PublicVocabulary.read(source)
        else:
            vocabulary = PublicVocabulary.of(read_pieces(str(source), "the tokenizer"), settings)
        num_special = len(vocabulary.specials.keys() & {"[CLS]", "[SEP]"})
        return cls(vocabulary.definition, codebook_size, max_rows - num_special, vocabulary.specials)

    @property
    def spec(self) -> TokenSpec:
        """One codebook along "t", of varying length."""
        return self._spec

    @property
    def specials(self) -> Mapping[str, int]:
        """Codes of the special tokens."""
        return self._specials

    def config(self) -> dict[str, Any]:
        """Constructor arguments, without the definition, which has its own file."""
        return {
            "codebook_size": self._spec.codebook_size,
            "max_length": self.max_length,
            "specials": dict(self._specials),
        }

    def encode(self, media: Sequence[str], lengths: Tensor | None = None) -> list[Tensor]:
        """Codes, list of (n, 1) int64, of texts.

        Raises:
            ValueError: no list of str, a text without a piece, or one of more than max_length pieces.
        """
        return [torch.tensor(e.ids, dtype=torch.int64)[:, None] for e in self._encodings(media)]

    def groups(self, media: Sequence[str]) -> list[Tensor]:
        """For each text (n,) int64: which word each piece belongs to, from 0; -1 for special tokens.

        Raises:
            ValueError: as `encode`.
        """
        special = set(self.specials.values())
        words = (
            [-1 if word is None or code in special else word for code, word in zip(e.ids, e.word_ids)]
            for e in self._encodings(media)
        )
        return [torch.tensor(ids, dtype=torch.int64) for ids in words]

    def continues_word(self) -> Tensor | None:
        """(codebook_size,) bool: True for pieces that continue a word, by "##" or the space that begins a word.

        None for other kinds of pieces. Marks beside a word count as parts of it where the pieces are byte-level.
        """
        is_continuing = torch.zeros(self._spec.codebook_size, dtype=torch.bool)
        model = self._pieces.model
        if isinstance(model, models.WordPiece):
            prefix = model.continuing_subword_prefix
            codes = [code for piece, code in self._pieces.get_vocab().items() if piece.startswith(prefix)]
        elif isinstance(self._pieces.pre_tokenizer, pre_tokenizers.ByteLevel):
            spaces = tuple(_BYTE_LEVEL_SPACES)
            codes = [code for piece, code in self._pieces.get_vocab().items() if not piece.startswith(spaces)]
        else:
            return None
        is_continuing[torch.tensor(codes, dtype=torch.int64)] = True
        is_continuing[torch.tensor(list(self._pieces.get_added_tokens_decoder()), dtype=torch.int64)] = False
        return is_continuing

    def decode(self, codes: Sequence[Tensor] | Tensor) -> list[str]:
        """Texts of codes, list of (n, 1) or (B, n, 1), without special tokens."""
        batch = varying_codes(codes, self.spec, "text codes")
        return self._pieces.decode_batch([sample[:, 0].tolist() for sample in batch])

    @property
    def definition(self) -> str:
        """Contents of the `tokenizer.json` file."""
        return self._pieces.to_str()

    def save_files(self, folder: Path) -> None:
        """Write the definition."""
        (folder / _FILE).write_text(self.definition, encoding="utf-8")

    @classmethod
    def from_folder(cls, folder: Path, init_args: dict[str, Any]) -> PretrainedText:
        """Build from a saved folder.

        Raises:
            ValueError: no definition in it.
        """
        path = folder / _FILE
        if not path.is_file():
            raise ValueError(f"{path} does not exist: the folder is half-copied; copy it again")
        return cls(path.read_text(encoding="utf-8"), **init_args)

    def fingerprint(self) -> str:
        """SHA-256 of configuration and definition."""
        return hashlib.sha256("\n".join((super().fingerprint(), self.definition)).encode()).hexdigest()

    def _encodings(self, media: Sequence[str]) -> list[Encoding]:
        if isinstance(media, str) or not all(isinstance(text, str) for text in media):
            raise ValueError(f"text of type {type(media).__name__}, expected a list of str")
        encodings = self._pieces.encode_batch(list(media), add_special_tokens=False)
        for text, encoding in zip(media, encodings):
            if not encoding.ids:
                raise ValueError(f"text {text!r} holds no word; expected at least one")
            if len(encoding.ids) > self.max_length:
                raise ValueError(
                    f"text {text[:40]!r}... has {len(encoding.ids)} pieces, expected at most {self.max_length}, as "
                    "many as the model has positions for; shorten or split it"
                )
        return encodings
