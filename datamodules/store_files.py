"""Files of a token store: arrays with their sizes and checksums, and what store.json says of them."""

from __future__ import annotations

import json
import logging
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

log = logging.getLogger(__name__)
FORMAT_VERSION = 1
LARGE = ("codes", "inputs")
"""Arrays that stay on disk until they are gathered."""
_BLOCK = 1 << 24
_MOST_CHECKED = 1 << 30
"""Bytes of a large array that are compared with their checksum when a store is opened: a second or two."""


def write_arrays(folder: Path, name: str, arrays: Mapping[str, NDArray[Any]]) -> dict[str, dict[str, int]]:
    """Write `<name>.<array>.npy` files; file name -> size and checksum."""
    files = {}
    for array, values in arrays.items():
        path = folder / f"{name}.{array}.npy"
        np.save(path, values, allow_pickle=False)
        files[path.name] = {"bytes": path.stat().st_size, "crc32": _crc32(path)}
    return files


def read_arrays(
    folder: Path, name: str, files: Mapping[str, Mapping[str, int]], checks_large: bool | None
) -> dict[str, NDArray[Any]]:
    """Inverse of `write_arrays`; sizes are always compared, and checksums of small arrays.

    Args:
        folder: of the store.
        name: of the modality.
        files: what `write_arrays` returned.
        checks_large: whether checksums of large arrays are compared; None = of those of up to 1 GiB, others being named
            in the log.

    Raises:
        ValueError: a corrupt or truncated file, or none.
    """
    arrays = {}
    for file_name, expected in files.items():
        path, array = folder / file_name, file_name.removeprefix(f"{name}.").removesuffix(".npy")
        size = path.stat().st_size if path.is_file() else 0
        is_checked = array not in LARGE or (size <= _MOST_CHECKED if checks_large is None else checks_large)
        if size != expected["bytes"] or (is_checked and _crc32(path) != expected["crc32"]):
            raise ValueError(
                f"{path} is corrupt or truncated ({size} bytes, expected {expected['bytes']} with crc32 "
                f"{expected['crc32']}); delete {folder} and make it again"
            )
        if not is_checked and checks_large is None:
            log.info("%s: %.1f GB were not compared with their checksum", path, size / 1e9)
        values = np.load(path, mmap_mode="r" if array in LARGE else None, allow_pickle=False)
        arrays[array] = np.asarray(values)
    return arrays


def read_description(folder: Path) -> dict[str, Any]:
    """What store.json says.

    Raises:
        ValueError: no such file, unreadable, or another format version.
    """
    path = folder / "store.json"
    if not path.is_file():
        raise ValueError(f"{path} does not exist; expected a token store, made by pretokenizing a corpus")
    try:
        data: dict[str, Any] = json.loads(path.read_text())
        version = data["format_version"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is corrupt ({error!r}); delete the folder and make it again") from error
    if version != FORMAT_VERSION:
        raise ValueError(
            f"{path}: format_version {version}, this version reads {FORMAT_VERSION}; make the store again"
        )
    return data


def _crc32(path: Path) -> int:
    value = 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            value = zlib.crc32(block, value)
    return value
