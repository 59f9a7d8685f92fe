"""Token stores: the codes of many items in flat memory-mapped files, gathered without a loop over items."""

from __future__ import annotations

import json
import logging
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from datamodules.atomic import atomic_folder
from tokenizers_vq.contract import Modality, TokenSpec

log = logging.getLogger(__name__)
FORMAT_VERSION = 1
_ARRAYS = ("codes", "shapes", "labels")
_BLOCK = 1 << 24
_MOST_CHECKED = 1 << 30
"""Bytes of codes that are compared with their checksum when a store is opened: a second or two."""


@dataclass(frozen=True)
class TokenItems:
    """Items of one modality, end to end.

    Attributes:
        spec: geometry of the tokens.
        fingerprint: of the tokenizer that made them.
        codes: (n, Q) uint16, or int32 where the codebook is larger.
        shapes: (items, A) int32.
        labels: (items,) int64 classes.
    """

    spec: TokenSpec
    fingerprint: str
    codes: NDArray[Any]
    shapes: NDArray[np.int32]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    @classmethod
    def from_codes(cls, codes: list[Tensor], labels: Tensor, spec: TokenSpec, fingerprint: str) -> TokenItems:
        """Join the codes (*shape, Q) of many items.

        Raises:
            ValueError: no items, not one label each, or codes that do not fit the spec.
        """
        if not codes or labels.shape != (len(codes),):
            raise ValueError(
                f"{len(codes)} items with labels {tuple(labels.shape)}; expected some, one label each"
            )
        for index, value in enumerate(codes):
            spec.check_codes(value, f"item {index}")
        dtype = np.uint16 if spec.codebook_size <= 1 << 16 else np.int32
        flat = np.concatenate([value.reshape(-1, spec.num_codebooks).numpy() for value in codes])
        shapes = np.array([value.shape[:-1] for value in codes], dtype=np.int32)
        return cls(
            spec,
            fingerprint,
            flat.astype(dtype),
            shapes.reshape(len(codes), len(spec.axes)),
            labels.numpy().astype(np.int64),
        )


def write_store(folder: Path, items: Mapping[str, TokenItems], settings: Mapping[str, Any]) -> None:
    """Write a store folder; it appears whole or not at all.

    Args:
        folder: takes the place of a store that is already there.
        items: by modality name.
        settings: JSON-ready facts about how it was made, e.g. its seed.
    """
    with atomic_folder(folder) as partial:
        modalities = {}
        for name, value in items.items():
            files = {}
            for array in _ARRAYS:
                path = partial / f"{name}.{array}.npy"
                np.save(path, getattr(value, array), allow_pickle=False)
                files[path.name] = {"bytes": path.stat().st_size, "crc32": _crc32(path)}
            modalities[name] = {
                "spec": value.spec.to_dict(),
                "fingerprint": value.fingerprint,
                "num_items": len(value),
                "num_positions": len(value.codes),
                "files": files,
            }
        data = {"format_version": FORMAT_VERSION, "settings": dict(settings), "modalities": modalities}
        (partial / "store.json").write_text(json.dumps(data, indent=2, sort_keys=True) + "\n")


class TokenStore:
    """Read access to a store folder; open it with `TokenStore.open`.

    Attributes:
        folder: where it lies.
        settings: how it was made.
        items: by modality name; codes stay on disk until they are gathered.
    """

    def __init__(self, folder: Path, settings: dict[str, Any], items: dict[str, TokenItems]) -> None:
        self.folder = folder
        self.settings = settings
        self.items = items
        self._length = {name: value.shapes.astype(np.int64).prod(axis=1) for name, value in items.items()}
        self._start = {name: length.cumsum() - length for name, length in self._length.items()}

    def __reduce__(self) -> tuple[Any, ...]:
        # A worker process opens the files again instead of being sent their content; they have been checked here.
        return TokenStore.open, (self.folder, False)

    @classmethod
    def open(cls, folder: Path | str, checks_codes: bool | None = None) -> TokenStore:
        """Open a store. Sizes of all files, and checksums of shapes and labels, are always compared.

        Args:
            folder: as `write_store` made it.
            checks_codes: compare the codes with their checksums too, which reads them all; where not given, files of
                up to 1 GiB are compared, and larger ones are named in the log (`maskmm doctor` compares all).

        Raises:
            ValueError: not a store, another format version, or a corrupt or truncated file.
        """
        folder = Path(folder)
        data = read_description(folder)
        items = {
            name: _read_items(folder, name, entry, checks_codes) for name, entry in data["modalities"].items()
        }
        return cls(folder, data["settings"], items)

    @property
    def modalities(self) -> list[Modality]:
        """Names and specs."""
        return [Modality(name, value.spec) for name, value in self.items.items()]

    def labels(self, modality: str) -> Tensor:
        """(items,) int64 classes."""
        return torch.from_numpy(self._of(modality).labels)

    def codes(self, modality: str, index: int) -> Tensor:
        """Codes (*shape, Q) int64 of one item."""
        value = self._of(modality)
        if not 0 <= index < len(value):
            raise ValueError(f"{modality} item {index}: {self.folder} holds items 0 to {len(value) - 1}")
        flat, shape = self.gather(modality, torch.tensor([index]))
        return flat.reshape(*shape[0].tolist(), value.spec.num_codebooks)

    def shapes(self, modality: str, index: Tensor) -> Tensor:
        """(B, A) int64 shapes of many items (B,); reads no codes."""
        return torch.from_numpy(self._of(modality).shapes[index.numpy()].astype(np.int64))

    def gather(self, modality: str, index: Tensor) -> tuple[Tensor, Tensor]:
        """Codes of many items, end to end.

        Args:
            modality: whose items.
            index: (B,) int64 item numbers.

        Returns:
            (n, Q) int64 codes and (B, A) int64 shapes.
        """
        value = self._of(modality)
        items = index.numpy()
        length, start = self._length[modality][items], self._start[modality][items]
        offset = np.repeat(start - (length.cumsum() - length), length)
        flat = value.codes[offset + np.arange(len(offset))]
        return torch.from_numpy(flat.astype(np.int64)), self.shapes(modality, index)

    def _of(self, modality: str) -> TokenItems:
        if modality not in self.items:
            raise ValueError(f"{self.folder} has no modality {modality!r}, only {', '.join(self.items)}")
        return self.items[modality]


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


def _read_items(folder: Path, name: str, entry: dict[str, Any], checks_codes: bool | None) -> TokenItems:
    arrays = {}
    for array in _ARRAYS:
        path = folder / f"{name}.{array}.npy"
        expected = entry["files"][path.name]
        size = path.stat().st_size if path.is_file() else 0
        is_checked = array != "codes" or (size <= _MOST_CHECKED if checks_codes is None else checks_codes)
        if size != expected["bytes"] or (is_checked and _crc32(path) != expected["crc32"]):
            raise ValueError(
                f"{path} is corrupt or truncated ({size} bytes, expected {expected['bytes']} with crc32 "
                f"{expected['crc32']}); delete {folder} and make it again"
            )
        if not is_checked and checks_codes is None:
            log.info("%s: %.1f GB were not compared with their checksum", path, size / 1e9)
        arrays[array] = np.load(path, mmap_mode="r" if array == "codes" else None, allow_pickle=False)
    spec = TokenSpec.from_dict(entry["spec"])
    return TokenItems(
        spec, entry["fingerprint"], np.asarray(arrays["codes"]), arrays["shapes"], arrays["labels"]
    )


def _crc32(path: Path) -> int:
    value = 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            value = zlib.crc32(block, value)
    return value
