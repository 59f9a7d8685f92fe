"""Media as the command line names them: text as it is, everything else as a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from datamodules.media_files import SUFFIXES, decode_media, write_media
from maskmm.cli.files import check_file
from maskmm.pipeline import Pipeline
from tokenizers_vq.contract import Tokenizer

OTHER_SUFFIX = ".safetensors"
"""Of kinds of media without a file format of their own: one tensor called "media"."""


def read_value(tokenizer: Tokenizer, value: str, is_resampled: bool = False) -> Any:
    """One sample of media.

    Args:
        tokenizer: of the modality; says the kind of media and the sample rate.
        value: the text itself, or the path of an image, sound, video or .safetensors file.
        is_resampled: bring sound and video of another rate to the tokenizer's, instead of refusing them.

    Raises:
        ValueError: no such file, or content that does not fit.
    """
    return value if tokenizer.media == "text" else read_file(tokenizer, Path(value), is_resampled)


def read_file(tokenizer: Tokenizer, path: Path, is_resampled: bool = False) -> Any:
    """One sample of media from a file, text too; errors as `read_value`."""
    check_file(path, f"a file of kind {tokenizer.media}")
    if tokenizer.media in SUFFIXES:
        return decode_media(
            tokenizer.media, path.read_bytes(), sample_rate(tokenizer), str(path), is_resampled
        )
    try:
        return load_file(path)["media"]
    except (SafetensorError, KeyError) as error:
        raise ValueError(f"{path} is no safetensors file with a tensor 'media': {error}") from error


def to_batch(tokenizer: Tokenizer, media: Sequence[Any], sources: Sequence[str]) -> Any:
    """A batch of media: images stacked, everything else a list.

    Args:
        tokenizer: of the modality.
        media: samples.
        sources: what the user calls each of them.

    Raises:
        ValueError: images of different shapes.
    """
    if tokenizer.media != "image":
        return list(media)
    for source, image in zip(sources, media):
        if image.shape != media[0].shape:
            raise ValueError(
                f"{source} is an image of shape {tuple(image.shape)}, but {sources[0]} of {tuple(media[0].shape)}; "
                "bring them to one first"
            )
    return torch.stack(list(media))


@contextmanager
def named_refusals(
    pipeline: Pipeline, inputs: Mapping[str, Any], sources: Mapping[str, Sequence[str]]
) -> Iterator[None]:
    """Where the block ends in a ValueError because of one sample, say which.

    A tokenizer speaks of the batch that it sees; only then is each sample tried alone.

    Args:
        pipeline: encodes.
        inputs: modality -> batch of media.
        sources: modality -> what the user calls each of its samples; those that speak for themselves may be left out.

    Raises:
        ValueError: the sample's own error after its name, or else the block's.
    """
    try:
        yield
    except ValueError:
        for name, named in sources.items():
            for index, source in enumerate(named):
                try:
                    pipeline.encode({name: inputs[name][index : index + 1]})
                except ValueError as error:
                    raise ValueError(f"{source}: {error}") from error
        raise


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


def sample_rate(tokenizer: Tokenizer) -> float:
    """Samples, frames or poses a second of a tokenizer's media, 0 for media without time."""
    return tokenizer.spec.rate or 0.0
