"""English text to word pieces: BERT's normalisation and greedy longest match (Devlin et al., 2019)."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from tokenizers import Encoding, decoders, models, normalizers, pre_tokenizers, trainers
from tokenizers import Tokenizer as Pieces
from torch import Tensor

from tokenizers_vq.checks import varying_codes
from tokenizers_vq.contract import Tokenizer, TokenSpec

_log = logging.getLogger(__name__)
UNKNOWN = "[UNK]"
_VOCABULARY_FILE = "vocab.txt"
_PREFIX = "##"
_SPACE_BEFORE = re.compile(r" (?=[.,!?;:)\]])")
_SPACE_AFTER = re.compile(r"(?<=[(\[]) ")
_CONTRACTION = re.compile(r"(?<=\w) ' (?=(?:s|t|re|ve|ll|d|m)\b)")


class WordPieceText(Tokenizer):
    """Texts, list of str <-> codes, list of (n, 1): word pieces, and [UNK] for a word that has none.

    Text is lower-cased, accents and control characters go, punctuation marks stand alone. `decode(encode([t]))` is
    `[normalise(t)]` for every text whose words are all in the vocabulary.

    Args:
        vocabulary: the pieces in the order of their codes; "##" begins a piece that continues a word; [UNK] must be
            among them.
        max_length: largest number of pieces in a text.

    Raises:
        ValueError: a vocabulary without [UNK] or with duplicates.
    """

    media: ClassVar[str] = "text"

    def __init__(self, vocabulary: Sequence[str], max_length: int = 64) -> None:
        super().__init__()
        self.vocabulary = tuple(vocabulary)
        codes = {piece: code for code, piece in enumerate(self.vocabulary)}
        if UNKNOWN not in codes or len(codes) != len(self.vocabulary):
            raise ValueError(
                f"vocabulary of {len(self.vocabulary)} pieces, {len(codes)} of them different: expected no duplicates, "
                f"and {UNKNOWN!r} among them"
            )
        self.max_length = max_length
        self._unknown = codes[UNKNOWN]
        self._spec = TokenSpec(len(codes), axes=("t",), max_length=max_length)
        self._pieces = _bert(models.WordPiece(codes, unk_token=UNKNOWN, max_input_chars_per_word=200))

    @classmethod
    def from_texts(cls, texts: Iterable[str], vocab_size: int, max_length: int = 64) -> WordPieceText:
        """Learn a vocabulary (nn.Module has taken the name `train`).

        Args:
            texts: what to learn from.
            vocab_size: largest number of pieces, [UNK] and single characters among them.
            max_length: see the class.

        Raises:
            ValueError: no text, or fewer pieces than different characters.
        """
        learner = _bert(models.WordPiece(unk_token=UNKNOWN))
        texts = list(texts)
        words = {word for text in texts for word in _words(learner, text)}
        characters = sorted({character for word in words for character in word})
        tails = sorted({_PREFIX + character for word in words for character in word[1:]})
        trainer = trainers.WordPieceTrainer(
            vocab_size=vocab_size,
            # The library numbers tails in the order of a hash table, and breaks ties by number: given first and
            # sorted, they make the vocabulary a function of the texts.
            special_tokens=[UNKNOWN, *characters, *tails],
            continuing_subword_prefix=_PREFIX,
            show_progress=False,
        )
        learner.train_from_iterator(texts, trainer)
        codes = learner.get_vocab()
        if len(codes) <= 1:
            raise ValueError("no text to learn word pieces from; give at least one word")
        if len(codes) > vocab_size:
            raise ValueError(
                f"vocab_size={vocab_size} is smaller than the {len(codes)} characters of the texts; give more"
            )
        return cls(sorted(codes, key=codes.__getitem__), max_length)

    @property
    def spec(self) -> TokenSpec:
        """One codebook along "t", of varying length."""
        return self._spec

    def config(self) -> dict[str, Any]:
        """Constructor arguments, without the vocabulary, which has its own file."""
        return {"max_length": self.max_length}

    def encode(self, media: Sequence[str], lengths: Tensor | None = None) -> list[Tensor]:
        """Codes, list of (n, 1) int64, of texts.

        Raises:
            ValueError: no list of str, a text without a word, or one of more than max_length pieces.
        """
        encodings = self._encodings(media)
        lost = sorted(
            {
                t[a:b]
                for t, e in zip(media, encodings)
                for i, (a, b) in zip(e.ids, e.offsets)
                if i == self._unknown
            }
        )
        if lost:
            _log.warning("the vocabulary has no pieces for %s: they become %s", lost, UNKNOWN)
        return [torch.tensor(e.ids, dtype=torch.int64)[:, None] for e in encodings]

    def groups(self, media: Sequence[str]) -> list[Tensor]:
        """For each text (n,) int64: which word each piece belongs to, from 0; for masking whole words.

        Raises:
            ValueError: as `encode`.
        """
        return [torch.tensor(e.word_ids, dtype=torch.int64) for e in self._encodings(media)]

    def continues_word(self) -> Tensor:
        """(codebook_size,) bool: True for pieces that begin with "##"."""
        return torch.tensor([piece.startswith(_PREFIX) for piece in self.vocabulary])

    def decode(self, codes: Sequence[Tensor] | Tensor) -> list[str]:
        """Plain texts of codes, list of (n, 1) or (B, n, 1)."""
        batch = varying_codes(codes, self.spec, "text codes")
        pieces = [[self.vocabulary[code] for code in sample[:, 0].tolist()] for sample in batch]
        return [_join_words(" ".join(words).replace(f" {_PREFIX}", "")) for words in pieces]

    def normalise(self, text: str) -> str:
        """The text as `decode` would write it."""
        return _join_words(" ".join(_words(self._pieces, text)))

    def save_files(self, folder: Path) -> None:
        """Write the vocabulary, one piece a line."""
        (folder / _VOCABULARY_FILE).write_text("\n".join(self.vocabulary) + "\n", encoding="utf-8")

    @classmethod
    def from_folder(cls, folder: Path, init_args: dict[str, Any]) -> WordPieceText:
        """Build from a saved folder."""
        return cls.from_file(folder / _VOCABULARY_FILE, **init_args)

    @classmethod
    def from_file(cls, path: Path | str, max_length: int = 64) -> WordPieceText:
        """Build from a vocabulary file of BERT's kind: one piece a line, the line's number is its code.

        Raises:
            ValueError: no such file.
        """
        path = Path(path)
        if not path.is_file():
            raise ValueError(f"{path} does not exist; expected a file with one word piece a line")
        return cls(path.read_text(encoding="utf-8").removesuffix("\n").split("\n"), max_length)

    def fingerprint(self) -> str:
        """SHA-256 of configuration and vocabulary."""
        return hashlib.sha256("\n".join((super().fingerprint(), *self.vocabulary)).encode()).hexdigest()

    def _encodings(self, media: Sequence[str]) -> list[Encoding]:
        if isinstance(media, str) or not all(isinstance(text, str) for text in media):
            raise ValueError(f"text of type {type(media).__name__}, expected a list of str")
        encodings = self._pieces.encode_batch(list(media))
        for text, encoding in zip(media, encodings):
            if not encoding.ids:
                raise ValueError(f"text {text!r} holds no word; expected at least one")
            if len(encoding.ids) > self.max_length:
                raise ValueError(
                    f"text {text[:40]!r}... has {len(encoding.ids)} word pieces, expected at most {self.max_length}; "
                    "shorten it, or train with a larger max_length"
                )
        return encodings


def _bert(model: models.WordPiece) -> Pieces:
    pieces = Pieces(model)
    pieces.normalizer = normalizers.BertNormalizer(lowercase=True)
    pieces.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    pieces.decoder = decoders.WordPiece(prefix=_PREFIX, cleanup=False)
    return pieces


def _words(pieces: Pieces, text: str) -> list[str]:
    """Normalised words and marks of a text."""
    clean = pieces.normalizer.normalize_str(text)
    return [word for word, _ in pieces.pre_tokenizer.pre_tokenize_str(clean)]


def _join_words(text: str) -> str:
    """Words and marks with spaces between them -> ordinary writing."""
    return _CONTRACTION.sub("'", _SPACE_AFTER.sub("", _SPACE_BEFORE.sub("", text)))
