"""The project's own configs, which the rows train."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
import yaml

from tokenizers_vq.contract.described import rebuild
from tokenizers_vq.training import TokenizerModule

_FOLDER = Path(__file__).parents[2] / "configs"


def read_config(name: str) -> dict[str, Any]:
    """A file of configs/ by its path there, e.g. "tokenizer/emoji_vqgan.yaml"."""
    told: dict[str, Any] = yaml.safe_load((_FOLDER / name).read_text())
    return told


def build_module(init_args: Mapping[str, Any], seed: int, allow: Iterable[type] = ()) -> TokenizerModule:
    """What a config of a tokenizer describes, with weights drawn from the seed.

    Args:
        init_args: of the TokenizerModule, as its file has them.
        seed: of the weights; torch's generator goes on from it.
        allow: classes that are named beside those that folders may name.

    Raises:
        ValueError: a foreign class.
    """
    torch.manual_seed(seed)
    return TokenizerModule(**rebuild(init_args, allow))
