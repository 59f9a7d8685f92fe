"""Pairs items of several modalities at random, so that they agree in class."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from tokenizers_vq.contract import Key


class ClassPairing:
    """Finds one item of each modality for items of an anchor modality, all of one class.

    Args:
        labels: modality -> (n,) int64 class of each item.
        anchor: the modality whose items are given.

    Raises:
        ValueError: an unknown anchor, or a class of the anchor that another modality lacks.
    """

    def __init__(self, labels: Mapping[str, Tensor], anchor: str) -> None:
        if anchor not in labels:
            raise ValueError(f"anchor {anchor!r} is none of the modalities {', '.join(labels)}")
        self._anchor = anchor
        self._anchor_labels = labels[anchor]
        num_classes = max(int(value.max()) for value in labels.values()) + 1
        self._count = {name: torch.bincount(value, minlength=num_classes) for name, value in labels.items()}
        self._first = {name: count.cumsum(0) - count for name, count in self._count.items()}
        self._by_class = {name: value.argsort(stable=True) for name, value in labels.items()}
        for name, count in self._count.items():
            missing = ((self._count[anchor] > 0) & (count == 0)).nonzero()[:, 0].tolist()
            if missing:
                raise ValueError(f"{name} has no item of class {missing}, but {anchor} has some")

    def match(self, anchor_item: Tensor, key: Key, sample_id: Tensor) -> dict[str, Tensor]:
        """Items of each sample.

        Args:
            anchor_item: (B,) int64 items of the anchor.
            key: seed and step.
            sample_id: (B,) int64; a sample's pair depends on its anchor, the key and its id alone.

        Returns:
            modality -> (B,) int64 item numbers, uniform within the class.
        """
        label = self._anchor_labels[anchor_item]
        items = {}
        for name, by_class in self._by_class.items():
            within = key.fold(name).integers(self._count[name][label], sample_id)
            items[name] = by_class[self._first[name][label] + within]
        items[self._anchor] = anchor_item
        return items
