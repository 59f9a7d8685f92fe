"""The emoji corpus as media shards."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from datamodules.corpora.emoji.corpus import EmojiCorpus
from datamodules.corpora.emoji.table import LANGUAGES, Language
from datamodules.shards import MediaSample, write_shards
from tokenizers_vq.contract import Key


def emoji_samples(
    corpus: EmojiCorpus, split: str, languages: Sequence[Language] = ("en",), seed: int = 0
) -> Iterator[MediaSample]:
    """Every emoji of a split once: `image`, its `alpha` (grey) and `text`, the name in one of the languages.

    Args:
        corpus: the media.
        split: train, val or test.
        languages: of the names; each sample takes one, hashed from the seed and the emoji.
        seed: decides the languages.

    Raises:
        ValueError: an unknown split, or no or an unknown language.
    """
    unknown = [language for language in languages if language not in LANGUAGES]
    if unknown or not languages:
        raise ValueError(f"languages {list(languages)}, expected some of {', '.join(LANGUAGES)}")
    emoji = corpus.images(split)
    choice = Key(seed).fold("shards").fold("language").integers(len(languages), emoji.item_ids)
    for i, item in enumerate(emoji.items):
        language = languages[int(choice[i])]
        media = {
            "image": ("image", emoji.images[i]),
            "alpha": ("image", emoji.alpha[i]),
            "text": ("text", item.names[language]),
        }
        metadata = {"emoji": item.text, "base": item.base, "language": language, "names": dict(item.names)}
        yield MediaSample(f"{split}{i:06d}", media, metadata)


def write_emoji_shards(
    corpus: EmojiCorpus,
    folder: Path,
    split: str,
    languages: Sequence[Language] = ("en",),
    seed: int = 0,
    samples_per_shard: int = 1000,
) -> list[Path]:
    """Write a split as webdataset shards; see `emoji_samples` and `datamodules.shards.write_shards`."""
    return write_shards(folder, emoji_samples(corpus, split, languages, seed), {}, samples_per_shard)
