"""Checks of media and codes that come from outside, with errors that name the value and the fix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from tokenizers_vq.contract import TokenSpec


def check_float(value: Any, name: str) -> None:
    """Raise ValueError unless `value` is a floating point tensor."""
    if not isinstance(value, Tensor):
        raise ValueError(
            f"{name} of type {type(value).__name__}, expected a torch.Tensor; use torch.as_tensor"
        )
    if not value.is_floating_point():
        raise ValueError(
            f"{name} of dtype {value.dtype}, expected floating point; convert and scale it first"
        )


def check_range(value: Tensor, low: float, high: float, name: str, fix: str) -> None:
    """Raise ValueError unless all values are finite and lie in [low, high]. Waits for the device."""
    if value.numel() == 0:
        raise ValueError(f"{name} is empty, of shape {tuple(value.shape)}; leave empty media out")
    smallest, largest = (float(v) for v in torch.aminmax(value.detach()))
    if not (smallest >= low and largest <= high):  # also true where one of them is NaN
        raise ValueError(f"{name} from {smallest:g} to {largest:g}, expected {low:g} to {high:g}; {fix}")


def padded_lengths(media: Tensor, lengths: Tensor | None, what: str) -> Tensor:
    """Real length (B,) int64 of each row of a padded batch, on its device.

    Args:
        media: (B, T, ...).
        lengths: (B,) int64; all of T where not given.
        what: is counted along T, for messages.

    Raises:
        ValueError: lengths of another shape or dtype, or longer than T.
    """
    if lengths is None:
        return torch.full((len(media),), media.shape[1], device=media.device)
    if lengths.shape != media.shape[:1] or lengths.is_floating_point():
        raise ValueError(
            f"lengths of shape {tuple(lengths.shape)} and {lengths.dtype}, expected ({len(media)},) int64"
        )
    if int(lengths.max()) > media.shape[1]:
        raise ValueError(
            f"lengths up to {int(lengths.max())}, but the padded batch has {media.shape[1]} {what}"
        )
    return lengths.to(media.device)


def fixed_codes(codes: Tensor | Sequence[Tensor], spec: TokenSpec, name: str) -> Tensor:
    """A batch of codes (B, *grid, Q) of a spec of fixed grid, checked; lists are stacked.

    Raises:
        ValueError: no codes, or codes that do not fit the spec.
    """
    batch = list(codes)
    if not batch:
        raise ValueError(f"no codes to decode; expected at least one {name} of shape {spec.grid}")
    for sample in batch:
        spec.check_codes(sample, name)
    return torch.stack(batch).long()


def varying_codes(codes: Tensor | Sequence[Tensor], spec: TokenSpec, name: str) -> list[Tensor]:
    """A list of codes (*shape, Q), one a sample, of a spec of varying length, checked.

    Raises:
        ValueError: no codes, or codes that do not fit the spec.
    """
    batch = list(codes)
    if not batch:
        raise ValueError(f"no codes to decode; expected at least one {name} of 1 to {spec.max_length} tokens")
    for sample in batch:
        spec.check_codes(sample, name)
    return [sample.long() for sample in batch]


def residual_codes(
    codes: Tensor | Sequence[Tensor], spec: TokenSpec, name: str, fewest: int = 1
) -> list[Tensor]:
    """As `varying_codes`, of codes (*shape, q) of the first q codebooks, the same q in the whole batch.

    Args:
        codes, spec, name: see `varying_codes`.
        fewest: smallest q that can be decoded; the largest is the spec's number of codebooks.

    Raises:
        ValueError: no codes, codes that do not fit the spec, or too few or too many codebooks.
    """
    batch = list(codes)
    found = batch[0].shape[-1] if batch and batch[0].ndim else spec.num_codebooks
    if not fewest <= found <= spec.num_codebooks:
        raise ValueError(
            f"{name} of {found} codebooks, expected {fewest} to {spec.num_codebooks}: the first ones, in order"
        )
    return varying_codes(batch, replace(spec, num_codebooks=found), name)
