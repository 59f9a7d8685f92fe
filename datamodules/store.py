"""Token stores: the codes of many items in flat memory-mapped files, gathered without a loop over items."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from datamodules.atomic import atomic_folder
from datamodules.store_files import FORMAT_VERSION, read_arrays, read_description, write_arrays
from tokenizers_vq.contract import Modality, TokenSpec

_INPUT_DTYPES = (np.dtype(np.float16), np.dtype(np.float32))


@dataclass(frozen=True)
class TokenItems:
    """Items of one modality, end to end.

    Attributes:
        spec: geometry of the tokens.
        fingerprint: of the tokenizer that made them.
        codes: (n, Q) uint16, or int32 where the codebook is larger.
        shapes: (items, A) int32.
        labels: (items,) int64 classes.
        inputs: (n, C) float16 or float32, continuous inputs beside the codes; None = none.
        inputs_fingerprint: of the tokenizer that made those.
    """

    spec: TokenSpec
    fingerprint: str
    codes: NDArray[Any]
    shapes: NDArray[np.int32]
    labels: NDArray[np.int64]
    inputs: NDArray[Any] | None = None
    inputs_fingerprint: str = ""

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
        flat = np.concatenate(
            [value.reshape(math.prod(value.shape[:-1]), spec.num_codebooks).numpy() for value in codes]
        )
        shapes = np.array([value.shape[:-1] for value in codes], dtype=np.int32)
        return cls(
            spec,
            fingerprint,
            flat.astype(dtype),
            shapes.reshape(len(codes), len(spec.axes)),
            labels.numpy().astype(np.int64),
        )

    def with_inputs(self, inputs: Tensor, fingerprint: str) -> TokenItems:
        """The same items with continuous inputs (n, C) float16 or float32, in the order of the codes.

        Raises:
            ValueError: another number of rows than of codes, another dtype, or values that are not finite.
        """
        values = inputs.numpy()
        if values.ndim != 2 or len(values) != len(self.codes) or values.dtype not in _INPUT_DTYPES:
            raise ValueError(
                f"continuous inputs of shape {values.shape} and dtype {values.dtype} for {len(self.codes)} positions; "
                "expected a row for each, float16 or float32"
            )
        if not np.isfinite(values).all():
            raise ValueError(
                f"continuous inputs hold NaN or values beyond {values.dtype}; store them as float32"
            )
        return replace(self, inputs=values, inputs_fingerprint=fingerprint)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """What is written, by name."""
        arrays = {"codes": self.codes, "shapes": self.shapes, "labels": self.labels}
        return arrays if self.inputs is None else arrays | {"inputs": self.inputs}


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
            modalities[name] = {
                "spec": value.spec.to_dict(),
                "fingerprint": value.fingerprint,
                "num_items": len(value),
                "num_positions": len(value.codes),
                "files": write_arrays(partial, name, value.arrays()),
            }
            if value.inputs is not None:
                modalities[name]["inputs_fingerprint"] = value.inputs_fingerprint
        data = {"format_version": FORMAT_VERSION, "settings": dict(settings), "modalities": modalities}
        (partial / "store.json").write_text(json.dumps(data, indent=2, sort_keys=True) + "\n")


class TokenStore:
    """Read access to a store folder; open it with `TokenStore.open`.

    Attributes:
        folder: where it lies.
        settings: how it was made.
        items: by modality name; codes and continuous inputs stay on disk until they are gathered.
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
            checks_codes: compare codes and continuous inputs with their checksums too, which reads them all; where
                not given, files of up to 1 GiB are compared, and larger ones are named in the log (`maskmm doctor`
                compares all).

        Raises:
            ValueError: not a store, another format version, or a corrupt or truncated file.
        """
        folder = Path(folder)
        data = read_description(folder)
        items = {
            name: TokenItems(
                TokenSpec.from_dict(entry["spec"]),
                entry["fingerprint"],
                inputs_fingerprint=entry.get("inputs_fingerprint", ""),
                **read_arrays(folder, name, entry["files"], checks_codes),
            )
            for name, entry in data["modalities"].items()
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
        flat = self._of(modality).codes[self._positions(modality, index)]
        return torch.from_numpy(flat.astype(np.int64)), self.shapes(modality, index)

    def gather_inputs(self, modality: str, index: Tensor) -> Tensor:
        """(n, C) float32 continuous inputs of many items (B,), end to end, in the order of `gather`.

        Raises:
            ValueError: a modality without any.
        """
        inputs = self._of(modality).inputs
        if inputs is None:
            raise ValueError(
                f"{self.folder} has no continuous inputs of {modality!r}; make it again with them, or leave "
                "the name out"
            )
        return torch.from_numpy(inputs[self._positions(modality, index)].astype(np.float32))

    def _positions(self, modality: str, index: Tensor) -> NDArray[np.int64]:
        """(n,) rows of the flat arrays that many items take."""
        self._of(modality)
        items = index.numpy()
        length, start = self._length[modality][items], self._start[modality][items]
        offset = np.repeat(start - (length.cumsum() - length), length)
        return offset + np.arange(len(offset))

    def _of(self, modality: str) -> TokenItems:
        if modality not in self.items:
            raise ValueError(f"{self.folder} has no modality {modality!r}, only {', '.join(self.items)}")
        return self.items[modality]
