"""Media shards: webdataset tar files whose samples may lack any modality."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from datamodules.atomic import atomic_folder
from datamodules.media_files import SUFFIXES, decode_media, encode_media

Rates = float | Mapping[str, float]
"""Samples of sound, frames of video or poses of motion a second: one number for all, or one for each kind."""

_END_BYTES = 1024  # a whole tar file ends with two empty blocks


@dataclass(frozen=True)
class MediaSample:
    """One sample of a shard.

    Attributes:
        key: its name, unique in the data set, without dots.
        media: modality name -> (kind, media), e.g. {"speech": ("audio", waveform)}.
        metadata: JSON-ready facts.
    """

    key: str
    media: Mapping[str, tuple[str, Any]]
    metadata: Mapping[str, Any] = field(default_factory=dict)


def write_shards(
    folder: Path, samples: Iterable[MediaSample], rates: Rates, samples_per_shard: int = 1000
) -> list[Path]:
    """Write shards `00000.tar`, ... that webdataset reads; the folder appears whole or not at all.

    A member is called `<key>.<modality>.<suffix>` (see media_files.SUFFIXES), and `<key>.json` holds the metadata.
    The same samples give the same bytes.

    Args:
        folder: takes the place of shards that are already there.
        samples: in order.
        rates: of sound, video and motion, e.g. 16_000 or {"audio": 16_000, "video": 30}.
        samples_per_shard: at most so many in one file.

    Returns:
        Paths of the shards.

    Raises:
        ValueError: a key or modality with a dot or slash, or media that cannot be written.
    """
    if samples_per_shard < 1:
        raise ValueError(f"samples_per_shard={samples_per_shard} must be at least 1")
    names: list[str] = []
    rest = iter(samples)
    with atomic_folder(folder) as partial:
        while chunk := list(islice(rest, samples_per_shard)):
            names.append(f"{len(names):05d}.tar")
            with tarfile.open(partial / names[-1], "w", format=tarfile.USTAR_FORMAT) as tar:
                for sample in chunk:
                    _write_sample(tar, sample, rates)
    return [folder / name for name in names]


def _write_sample(tar: tarfile.TarFile, sample: MediaSample, rates: Rates) -> None:
    for name in (sample.key, *sample.media):
        if not name or any(c in name for c in "./"):
            raise ValueError(f"sample {sample.key!r}: name {name!r} must not be empty or hold a dot or slash")
    parts = {"json": json.dumps(dict(sample.metadata), sort_keys=True).encode()}
    for modality, (kind, media) in sample.media.items():
        parts[modality + SUFFIXES.get(kind, "")] = encode_media(kind, media, _rate_of(kind, rates))
    for suffix, data in parts.items():
        member = tarfile.TarInfo(f"{sample.key}.{suffix}")
        member.size = len(data)
        tar.addfile(member, io.BytesIO(data))


def _rate_of(kind: str, rates: Rates) -> float:
    if not isinstance(rates, Mapping):
        return rates
    if kind in ("image", "text"):
        return 0.0
    if kind not in rates:
        raise ValueError(f"no rate for media of kind {kind!r} in {dict(rates)}; give one")
    return rates[kind]


def read_shards(paths: Iterable[Path], rates: Rates) -> Iterator[MediaSample]:
    """Samples of shards, in order.

    Args:
        paths: tar files as `write_shards` makes them.
        rates: that sound, video and motion must have, see `write_shards`.

    Raises:
        ValueError: a shard that does not exist, is corrupt or truncated, or holds a foreign member.
    """
    for path in paths:
        parts: dict[str, bytes] = {}
        key = ""
        for name, data in _members(path):
            found, _, suffix = name.partition(".")
            if parts and found != key:
                yield _sample(path, key, parts, rates)
                parts = {}
            key = found
            parts[suffix] = data
        if parts:
            yield _sample(path, key, parts, rates)


def _members(path: Path) -> Iterator[tuple[str, bytes]]:
    if not path.is_file():
        raise ValueError(f"shard {path} does not exist")
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _END_BYTES))
        tail = file.read()
        if len(tail) < _END_BYTES or any(tail):
            raise ValueError(f"shard {path} is truncated: it does not end as a tar file does; make it again")
        file.seek(0)
        try:
            with tarfile.open(fileobj=file, mode="r:") as tar:
                for member in tar:
                    content = tar.extractfile(member)
                    if content is not None:
                        yield member.name, content.read()
                # tarfile takes a damaged header for the end of the file; a true end is an empty block.
                file.seek(tar.offset)
                if any(file.read(tarfile.BLOCKSIZE)):
                    raise ValueError(f"shard {path} is corrupt at byte {tar.offset}; make it again")
        except (tarfile.TarError, EOFError) as error:
            raise ValueError(f"shard {path} is corrupt ({error}); make it again") from error


def _sample(path: Path, key: str, parts: dict[str, bytes], rates: Rates) -> MediaSample:
    kinds = {suffix: kind for kind, suffix in SUFFIXES.items()}
    media: dict[str, tuple[str, Any]] = {}
    metadata: dict[str, Any] = {}
    for suffix, data in parts.items():
        name = f"shard {path}, {key}.{suffix}"
        modality, dot, ending = suffix.rpartition(".")
        if suffix == "json":
            try:
                metadata = json.loads(data)
            except ValueError as error:
                raise ValueError(f"{name} is corrupt ({error}); make the shard again") from error
        elif modality and dot + ending in kinds:
            kind = kinds[dot + ending]
            media[modality] = (kind, decode_media(kind, data, _rate_of(kind, rates), name))
        else:
            raise ValueError(f"{name}: expected <key>.json or <key>.<modality> with {', '.join(kinds)}")
    return MediaSample(key, media, metadata)
