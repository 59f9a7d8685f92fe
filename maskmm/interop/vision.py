"""What BEiTs have in common, whoever publishes them: pixels in, vectors for [CLS] and masks, tables of biases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from maskmm.interop.rules import Rule
from maskmm.nn.config import PositionConfig
from maskmm.vocabulary import Vocabulary
from tokenizers_vq.contract import Modality, Tokenizer
from tokenizers_vq.contract.tokenizer import find_class

IMAGE = "image"
_PATCHES_CLASS = "tokenizers_vq.image_patches.ImagePatches"


def image_vocabulary(
    image_size: Sequence[int],
    patch_size: int,
    channels: int,
    codebook_size: int,
    preprocessing: Mapping[str, Any],
) -> tuple[Vocabulary, Tokenizer]:
    """Vocabulary of one image modality, and the tokenizer that makes its patches.

    Args:
        image_size: height and width in pixels.
        patch_size: pixels of a patch along each axis.
        channels: of an image.
        codebook_size: codes that the head predicts; 0 where there is none.
        preprocessing: mean and standard deviation of each channel, if its publisher says; or that there is no
            normalisation ("do_normalize", of transformers).

    Raises:
        ValueError: sizes that do not fit together, or a mean of another number of channels.
    """
    cls: Any = find_class(_PATCHES_CLASS, Tokenizer)
    mean, std = (_of_channels(preprocessing, name, channels) for name in ("mean", "std"))
    if not preprocessing.get("do_normalize", True):
        mean, std = [0.0] * channels, [1.0] * channels
    tokenizer: Tokenizer = cls(list(image_size), patch_size, mean, std, codebook_size)
    return Vocabulary([Modality(IMAGE, tokenizer.spec)]), tokenizer


def _of_channels(preprocessing: Mapping[str, Any], name: str, channels: int) -> list[float]:
    """What transformers or timm calls the mean (or "std") of each channel; 0.5 where neither says."""
    told = preprocessing.get(f"image_{name}", preprocessing.get(name))
    told = 0.5 if told is None else told
    values = [float(told)] * channels if isinstance(told, (int, float)) else list(told)
    if len(values) != channels:
        raise ValueError(
            f"{name}={values} of the preprocessing, expected {channels} values, one for each channel"
        )
    return values


def special_rows(vocabulary: Vocabulary, cls: str, mask: str | None) -> Rule:
    """Our table: [CLS], the mask vector if there is one, and zero for codes, which are never read."""
    size, cls_id, mask_id = vocabulary.size, vocabulary.cls_id, vocabulary.mask_id()

    def to_ours(tensors: Sequence[Tensor]) -> Tensor:
        table = torch.zeros(size, tensors[0].shape[-1])
        table[cls_id] = tensors[0].flatten()
        if mask is not None:
            table[mask_id] = tensors[1].flatten()
        return table

    def to_theirs(table: Tensor) -> Sequence[Tensor]:
        rows = [cls_id] if mask is None else [cls_id, mask_id]
        return [table[row][None, None] for row in rows]

    return Rule("embedding.codes.weight", (cls,) if mask is None else (cls, mask), to_ours, to_theirs)


def image_positions(has_absolute: bool, bias: str | None, grid: Sequence[int]) -> PositionConfig:
    """How a BEiT knows where patches are.

    Args:
        has_absolute: it adds a learned vector for each patch and [CLS].
        bias: whose tables of relative biases it has: "all" layers share one, "each" has its own, or None.
        grid: patches along each axis.
    """
    return PositionConfig(
        "sample",
        rotary=None,
        learned="absolute" if has_absolute else None,
        size=grid[0] * grid[1] + 1 if has_absolute else None,
        bias=None if bias is None else "table_2d",
        is_bias_shared=bias != "each",
    )
