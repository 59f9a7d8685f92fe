"""The stages without a fit: speech cache, text tokenizer, token stores."""

from __future__ import annotations

from pathlib import Path

from datamodules.atomic import atomic_folder
from datamodules.corpora.digits.corpus import DigitsCorpus
from datamodules.pretokenize import pretokenize_digits
from tokenizers_vq.contract import load_tokenizer
from tokenizers_vq.text import WordPieceText

CACHE = "cache"
STORE = "tokens"
TOKENIZERS = "tokenizers"
MODALITIES = ("image", "text", "speech")


def tokenizer_folder(modality: str) -> Path:
    """Folder of a modality's tokenizer."""
    return Path(TOKENIZERS, modality)


def corpus(seed: int) -> DigitsCorpus:
    """The corpus with its splits; clips come from the cache."""
    return DigitsCorpus(seed, Path(CACHE))


def fill_cache(seed: int) -> None:
    """Synthesise the clips once; the cache writes its file under a temporary name."""
    corpus(seed).speech("train")


def learn_text(seed: int, vocab_size: int, max_length: int) -> None:
    """Learn word pieces from all captions; their grammar is closed, so every split has the same ones."""
    tokenizer = WordPieceText.from_texts(corpus(seed).captions().texts, vocab_size, max_length)
    with atomic_folder(tokenizer_folder("text")) as folder:
        tokenizer.save(folder)


def make_store(seed: int, num_views: int, num_speech_views: int) -> None:
    """Encode the corpus; a store of a split that is whole already is kept."""
    tokenizers = {name: load_tokenizer(tokenizer_folder(name)) for name in MODALITIES}
    pretokenize_digits(corpus(seed), tokenizers, Path(STORE), num_views, num_speech_views, seed=seed)
