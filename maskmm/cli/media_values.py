"""Media as the command line names them: text as it is, everything else as a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from datamodules.media_files import SUFFIXES, decode_media, write_media
from tokenizers_vq.contract import Tokenizer

OTHER_SUFFIX = ".safetensors"
"""Of kinds of media without a file format of their own: one tensor called "media"."""


def read_value(tokenizer: Tokenizer, value: str) -> Any:
    """One sample of media.

    Args:
        tokenizer: of the modality; says the kind of media and the sample rate.
        value: the text itself, or the path of an image, sound or .safetensors file.

    Raises:
        ValueError: no such file, or content that does not fit.
    """
    return value if tokenizer.media == "text" else read_file(tokenizer, Path(value))


def read_file(tokenizer: Tokenizer, path: Path) -> Any:
    """One sample of media from a file, text too; errors as `read_value`."""
    if not path.is_file():
        raise ValueError(f"{path} does not exist; give the path of a file")
    if tokenizer.media in SUFFIXES:
        return decode_media(tokenizer.media, path.read_bytes(), sample_rate(tokenizer), str(path))
    try:
        return load_file(path)["media"]
    except (SafetensorError, KeyError) as error:
        raise ValueError(f"{path} is no safetensors file with a tensor 'media': {error}") from error


def to_batch(tokenizer: Tokenizer, media: Sequence[Any], name: str) -> Any:
    """A batch of media: images stacked, everything else a list.

    Raises:
        ValueError: images of different sizes.
    """
    if tokenizer.media != "image":
        return list(media)
    shapes = sorted({tuple(image.shape) for image in media})
    if len(shapes) != 1:
        raise ValueError(f"{name}: images of sizes {shapes} in one run; bring them to one size first")
    return torch.stack(list(media))


def suffix(tokenizer: Tokenizer) -> str:
    """File suffix of a modality's media."""
    return SUFFIXES.get(tokenizer.media, OTHER_SUFFIX)


def write_value(tokenizer: Tokenizer, path: Path, media: Any) -> None:
    """Write one sample of media to a file, which appears whole or not at all.

    Raises:
        ValueError: media of a kind of its own that is no tensor.
    """
    if tokenizer.media in SUFFIXES:
        write_media(path, tokenizer.media, media, sample_rate(tokenizer))
        return
    if not isinstance(media, Tensor):
        raise ValueError(
            f"no file format for media of kind {tokenizer.media!r} ({type(media).__name__}); expected a tensor or "
            f"one of {sorted(SUFFIXES)}"
        )
    partial = path.with_name(f".{path.name}.partial")
    save_file({"media": media.contiguous()}, partial)
    partial.replace(path)


def sample_rate(tokenizer: Tokenizer) -> int:
    """Sample rate of a sound tokenizer, 0 for other media."""
    return round(tokenizer.spec.rate or 0)
