"""Shards of features: one file a chunk of samples, whole or absent."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from maskmm.features import Features

SUFFIXES = {"safetensors": ".safetensors", "webdataset": ".tar"}
_TAR_END = 1024
"""Zeros that close a tar file."""


def write_shard(path: Path, names: Sequence[str], first: int, features: Mapping[str, Features]) -> None:
    """Write the features of one chunk of samples.

    A .safetensors file holds one tensor a modality, (n, ...); features of varying shape lie end to end, (sum, W),
    beside "<name>.length" (n,) int64. Its metadata has the samples' names. A .tar file holds for each sample
    `<number>.<modality>.npy` and `<number>.json` with its name, as webdataset reads it.

    Args:
        path: its suffix says which.
        names: of the n samples.
        first: number of the first sample in the whole run.
        features: modality -> features of n samples.
    """
    partial = path.with_name(f".{path.name}.partial")
    if path.suffix == SUFFIXES["webdataset"]:
        _write_tar(partial, names, first, features)
    else:
        tensors: dict[str, Tensor] = {}
        for name, value in features.items():
            if isinstance(value, Tensor):
                tensors[name] = value.contiguous()
                continue
            rows = [sample.flatten(0, -2) for sample in value]
            tensors[name] = torch.cat(rows)
            tensors[f"{name}.length"] = torch.tensor([len(row) for row in rows])
        save_file(tensors, partial, metadata={"names": json.dumps(list(names)), "first": str(first)})
    partial.replace(path)


def is_whole(path: Path) -> bool:
    """True for a shard with a beginning and an end; False for one that was cut short since it was written."""
    if path.suffix == SUFFIXES["webdataset"]:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _TAR_END))
            data = file.read()
        return len(data) == _TAR_END and not any(data)
    try:
        # The header says how long the file must be.
        with safe_open(path, "pt"):
            return True
    except SafetensorError:
        return False


def _write_tar(path: Path, names: Sequence[str], first: int, features: Mapping[str, Features]) -> None:
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for index, name in enumerate(names):
            members = {"json": json.dumps({"name": name}).encode()}
            for modality, value in features.items():
                buffer = io.BytesIO()
                np.save(buffer, value[index].numpy(), allow_pickle=False)
                # webdataset takes everything after the first dot for the column's name.
                members[f"{modality}.npy"] = buffer.getvalue()
            for suffix, data in members.items():
                info = tarfile.TarInfo(f"{first + index:09d}.{suffix}")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
