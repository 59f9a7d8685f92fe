"""Files of arrays that are slow to make, named and marked with everything they were made from."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

Arrays = dict[str, NDArray[Any]]


def package_version(distribution: str) -> str:
    """Version of an installed distribution, "absent" where there is none."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "absent"


def load_or_make(
    name: str, description: Mapping[str, str], make: Callable[[], Arrays], cache_dir: Path | None
) -> Arrays:
    """Arrays from the cache file `<name>-<hash of the description>.safetensors`, made and written where it is absent.

    Args:
        name: of the kind of cache, e.g. "digits-speech".
        description: everything that the arrays depend on.
        make: makes them.
        cache_dir: folder of the file; None makes the arrays anew.

    Raises:
        ValueError: the file is corrupt, or was made from something else.
    """
    if cache_dir is None:
        return make()
    wanted = dict(description)
    digest = hashlib.sha256(json.dumps(wanted, sort_keys=True).encode()).hexdigest()[:12]
    path = cache_dir / f"{name}-{digest}.safetensors"
    if path.exists():
        return _read(path, wanted)
    arrays = make()
    cache_dir.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}.tmp")
    save_file(arrays, partial, metadata=wanted)
    partial.replace(path)
    return arrays


def _read(path: Path, wanted: dict[str, str]) -> Arrays:
    try:
        with safe_open(path, framework="numpy") as file:
            found = file.metadata()
            arrays = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is no readable cache ({error}); delete it") from error
    if found != wanted:
        raise ValueError(f"{path} was made from {found}, expected {wanted}; delete it")
    return arrays
