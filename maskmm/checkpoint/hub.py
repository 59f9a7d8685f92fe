"""A folder on this machine, or a repository of the Hugging Face hub."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_PARTS = ("config.json", "models/**", "tokenizers/**")


def resolve_folder(name: Path | str, parts: Sequence[str] = _PARTS) -> Path:
    """The local folder of a checkpoint; a name that is no folder is fetched from the hub (cached there).

    Args:
        name: a folder, or a hub id such as "user/model".
        parts: patterns of the files that are fetched.

    Raises:
        ValueError: no such folder, and nothing of that name on the hub or no way to reach it.
    """
    path = Path(name)
    if path.is_dir():
        return path
    if path.exists():
        raise ValueError(
            f"{path} is a file, expected a checkpoint folder (see `maskmm export` for .ckpt files)"
        )
    if isinstance(name, Path) or not _HUB_ID.fullmatch(name):
        raise ValueError(f"folder {str(name)!r} does not exist; give the folder that holds config.json")
    try:
        return Path(snapshot_download(name, allow_patterns=list(parts)))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ValueError(
            f"{name!r} is no folder here and could not be fetched from the hub ({reason}); give the path of a local "
            "checkpoint folder, or go online and unset HF_HUB_OFFLINE"
        ) from error
