"""Lightning's checkpoint files, each whole or absent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning.pytorch.plugins.io import TorchCheckpointIO


class WholeCheckpoints(TorchCheckpointIO):
    """Writes a local checkpoint under a temporary name beside its place, then renames it.

    Lightning itself writes into the system's temporary folder and moves the file, which copies it where that folder is
    another disk: a run killed meanwhile left half a checkpoint under the full name.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None
    ) -> None:
        """Write one checkpoint; other storage than local files is left to Lightning."""
        if "://" in str(path):
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        partial = Path(path).with_name(f".{Path(path).name}.partial")
        try:
            super().save_checkpoint(checkpoint, partial, storage_options)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
