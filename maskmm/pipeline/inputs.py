"""Checks of what a caller hands in, before any tokenizer sees it, and slices of media batches."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from tokenizers_vq.contract import Codes


def check_names(
    names: Sequence[str], known: Collection[str], what: str, where: str = "in this checkpoint"
) -> None:
    """Raise ValueError unless `names` is a list of different known names."""
    if isinstance(names, str):
        raise ValueError(f"{what}={names!r} is one string, expected a list of names such as [{names!r}]")
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(f"{what} {unknown} are not {where}, expected some of {sorted(known)}")
    if len(set(names)) != len(names):
        raise ValueError(f"{what} {list(names)} names a modality twice; name each once")


def check_inputs(inputs: Mapping[str, Any], known: Collection[str]) -> None:
    """Raise ValueError unless `inputs` maps known modalities to something."""
    if not isinstance(inputs, Mapping):
        raise ValueError(f"inputs of type {type(inputs).__name__}, expected {{modality: batch of media}}")
    check_names(list(inputs), known, "inputs")


def num_samples_of(media: Any, name: str) -> int:
    """B of a batch of media: a tensor (B, ...) or a list of B samples.

    Raises:
        ValueError: something else, or an empty batch.
    """
    if not isinstance(media, (Tensor, list, tuple)):
        raise ValueError(
            f"{name} of type {type(media).__name__}, expected a batch: a tensor (B, ...) or a list of B samples "
            f"(one sample is a batch of one, [sample])"
        )
    size = len(media) if not isinstance(media, Tensor) or media.ndim else 0
    if size == 0:
        raise ValueError(f"{name} is an empty batch, expected at least one sample")
    return size


def same_size(sizes: Mapping[str, int]) -> int:
    """The one batch size of several inputs.

    Raises:
        ValueError: batches of different sizes.
    """
    if len(set(sizes.values())) != 1:
        raise ValueError(
            f"batches of different sizes {dict(sizes)}; give every input the same number of samples"
        )
    return next(iter(sizes.values()))


def chunks(num_samples: int, batch_size: int) -> Iterator[slice]:
    """Slices of at most batch_size samples."""
    if batch_size < 1:
        raise ValueError(f"batch_size={batch_size}, expected at least 1")
    for start in range(0, num_samples, batch_size):
        yield slice(start, min(start + batch_size, num_samples))


def part(batches: Mapping[str, Any], chunk: slice) -> dict[str, Any]:
    """The samples of one chunk of every batch."""
    return {name: batch[chunk] for name, batch in batches.items()}


def to_device(media: Any, device: torch.device) -> Any:
    """Media with its tensors on a device."""
    if isinstance(media, Tensor):
        return media.to(device)
    return [value.to(device) if isinstance(value, Tensor) else value for value in media]


def join(batches: Sequence[Any]) -> Any:
    """Batches of media or codes, one after the other: tensors are concatenated, lists joined."""
    tensors = [batch for batch in batches if isinstance(batch, Tensor)]
    if len(tensors) == len(batches):
        return torch.cat(tensors)
    return [sample for batch in batches for sample in batch]


def to_samples(codes: Mapping[str, Codes], num_samples: int) -> list[dict[str, Tensor]]:
    """One mapping of name -> codes (*shape, Q) for each sample."""
    return [{name: batch[i] for name, batch in codes.items()} for i in range(num_samples)]
