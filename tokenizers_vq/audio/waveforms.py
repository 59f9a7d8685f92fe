"""Batches of clips of unequal length: checked, then padded with zeros."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from tokenizers_vq.checks import check_float, check_range, padded_lengths

_HIGHEST = 1.1  # a resampled peak may pass 1 a little; integers taken for floats pass it by far


def pad_waveforms(
    media: Tensor | Sequence[Tensor], lengths: Tensor | None, shortest: int, longest: int
) -> tuple[Tensor, Tensor]:
    """One zero-padded batch of clips.

    Args:
        media: list of (T,) float in [-1, 1], or a padded batch (B, T).
        lengths: (B,) int64, real samples of each row of a padded batch; all of them where not given.
        shortest, longest: allowed samples of a clip.

    Returns:
        waveforms (B, T) float32, zero beyond each clip's end, and lengths (B,) int64 on the same device.

    Raises:
        ValueError: a wrong type, dtype or shape, NaN or out-of-range samples, a clip too short or too long.
    """
    if isinstance(media, Tensor):
        padded, sizes = _check_padded(media, lengths)
    else:
        if lengths is not None:
            raise ValueError("lengths belong to a padded (B, T) batch; a list of clips has its own")
        padded, sizes = _pad_list(media)
    low, high = int(sizes.min()), int(sizes.max())
    if low < shortest or high > longest:
        raise ValueError(
            f"clips of {low} to {high} samples, expected {shortest} to {longest}; leave out or cut the others"
        )
    is_real = torch.arange(padded.shape[1], device=padded.device) < sizes[:, None]
    padded = torch.where(is_real, padded.float(), 0.0)[:, :high]
    check_range(
        padded, -_HIGHEST, _HIGHEST, "audio samples", "give floats in [-1, 1] (divide int16 by 32768)"
    )
    return padded, sizes


def _check_padded(media: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor]:
    check_float(media, "audio")
    if media.ndim != 2 or media.numel() == 0:
        raise ValueError(
            f"audio of shape {tuple(media.shape)}, expected (B, T), or a list of (T,): mono clips"
        )
    return media, padded_lengths(media, lengths, "samples")


def _pad_list(media: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    if not media:
        raise ValueError("no clips to encode; expected at least one")
    for clip in media:
        check_float(clip, "audio")
        if clip.ndim != 1:
            raise ValueError(f"a clip of shape {tuple(clip.shape)}, expected (T,): mix channels down first")
    sizes = torch.tensor([clip.shape[0] for clip in media], device=media[0].device)
    return torch.nn.utils.rnn.pad_sequence(list(media), batch_first=True), sizes
