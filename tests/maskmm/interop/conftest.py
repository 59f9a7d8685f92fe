"""A tiny BERT as it is published: configuration, weights by name, a vocabulary; written without its library."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat", "sat", "on", "a", "mat"]
CONFIG = {
    "model_type": "bert", "vocab_size": 11, "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2,
    "intermediate_size": 12, "max_position_embeddings": 16, "type_vocab_size": 2, "hidden_act": "gelu",
}  # fmt: skip


def bert_weights() -> dict[str, Tensor]:
    """Random weights of the masked-LM model, with a pooler that is no part of the encoder."""
    torch.manual_seed(0)
    shapes: dict[str, tuple[int, ...]] = {
        "bert.embeddings.word_embeddings.weight": (11, 8),
        "bert.embeddings.position_embeddings.weight": (16, 8),
        "bert.embeddings.token_type_embeddings.weight": (2, 8),
        "cls.predictions.bias": (11,),
    }
    linears = {"bert.pooler.dense": (8, 8), "cls.predictions.transform.dense": (8, 8)}
    norms = ["bert.embeddings.LayerNorm", "cls.predictions.transform.LayerNorm"]
    for layer in range(2):
        name = f"bert.encoder.layer.{layer}"
        linears |= {f"{name}.attention.self.{part}": (8, 8) for part in ("query", "key", "value")}
        linears |= {f"{name}.attention.output.dense": (8, 8), f"{name}.intermediate.dense": (12, 8)}
        linears |= {f"{name}.output.dense": (8, 12)}
        norms += [f"{name}.attention.output.LayerNorm", f"{name}.output.LayerNorm"]
    for name, shape in linears.items():
        shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    for name in norms:
        shapes |= {f"{name}.weight": (8,), f"{name}.bias": (8,)}
    return {name: torch.randn(shape) for name, shape in shapes.items()}


@pytest.fixture
def published(tmp_path: Path) -> Callable[..., Path]:
    """Write a folder; `weights` replaces weights (None takes one away), options replace fields of the configuration."""

    def write(weights: dict[str, Any] | None = None, **options: Any) -> Path:
        folder = tmp_path / "published"
        folder.mkdir(exist_ok=True)
        (folder / "config.json").write_text(json.dumps(CONFIG | options))
        changed = bert_weights() | (weights or {})
        save_file({k: v for k, v in changed.items() if v is not None}, folder / "model.safetensors")
        (folder / "vocab.txt").write_text("\n".join(WORDS))
        return folder

    return write
