"""Who belongs to training, validation and test: a function of the seed, made before any pairing."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from tokenizers_vq.contract import Key

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)


def check_split(split: str) -> Split:
    """The split of that name; ValueError unless it is one of train, val, test."""
    for known in SPLITS:
        if split == known:
            return known
    raise ValueError(f"split {split!r}, expected one of {', '.join(SPLITS)}")


def split_items(labels: Tensor, key: Key) -> dict[Split, Tensor]:
    """80/10/10 by item, within each class.

    Args:
        labels: (n,) int64.
        key: seed.

    Returns:
        split -> (m,) int64 ascending indices; together each of 0..n-1 once.
    """
    draw = key.uniform(torch.arange(len(labels)))
    parts: dict[Split, list[Tensor]] = {split: [] for split in SPLITS}
    for label in labels.unique().tolist():
        items = (labels == label).nonzero()[:, 0]
        shuffled = items[draw[items].argsort(stable=True)]
        tenth = round(len(items) / 10)
        parts["val"].append(shuffled[:tenth])
        parts["test"].append(shuffled[tenth : 2 * tenth])
        parts["train"].append(shuffled[2 * tenth :])
    return {split: torch.cat(part).sort().values for split, part in parts.items()}


def split_groups(num_groups: int, key: Key) -> dict[Split, Tensor]:
    """80/10/10 by group (timbres), with at least two groups in validation and in test.

    Returns:
        split -> (m,) int64 ascending group numbers.

    Raises:
        ValueError: fewer than six groups.
    """
    if num_groups < 6:
        raise ValueError(f"{num_groups} groups cannot be split in three; expected at least 6")
    shuffled = key.uniform(torch.arange(num_groups)).argsort(stable=True)
    tenth = max(2, round(num_groups / 10))
    parts = {"val": shuffled[:tenth], "test": shuffled[tenth : 2 * tenth], "train": shuffled[2 * tenth :]}
    return {split: parts[split].sort().values for split in SPLITS}
