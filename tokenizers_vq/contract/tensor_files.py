"""Files of tensors by other programs, read without running what they hold."""

from __future__ import annotations

import pickle
import struct
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

# Torch tries to unpickle whatever is no zip archive, and stumbles over some byte of it.
_DAMAGE = (
    SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError,
    KeyError, IndexError, TypeError, AttributeError, AssertionError, struct.error,
)  # fmt: skip


def read_tensors(path: Path) -> Any:
    """Contents of a safetensors file, or of a torch file that holds tensors and plain values alone; on the CPU.

    Raises:
        ValueError: a file that is damaged or holds more.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except _DAMAGE as error:
        # Not torch's own words: they advise to load the file unsafely.
        raise ValueError(
            f"{path} is truncated, or holds more than tensors and plain values; expected .safetensors, or a PyTorch "
            "file of tensors alone, so copy it again"
        ) from error
