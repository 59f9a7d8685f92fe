"""The project's own configs, which the rows train."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

_FOLDER = Path(__file__).parents[2] / "configs"


def read_config(name: str) -> dict[str, Any]:
    """A file of configs/ by its path there, e.g. "tokenizer/emoji_vqgan.yaml"."""
    told: dict[str, Any] = yaml.safe_load((_FOLDER / name).read_text())
    return told
