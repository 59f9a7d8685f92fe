"""NeoBERT checkpoints against a naive twin; a real one where NEOBERT_FOLDER names its folder."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from maskmm.interop import from_transformers, neobert
from maskmm.interop.fields import Fields
from maskmm.interop.public_model import PublicModel
from maskmm.model import MaskedTransformer
from tests.parity.hidden_states import LENGTHS, TOLERANCE, largest_difference, packed, random_codes
from tests.reference.naive_neobert import forward, random_weights
from tokenizers_vq.contract.tensor_files import read_tensors

CONFIG = {
    "model_type": "neobert", "hidden_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4, "vocab_size": 67,
    "intermediate_size": 100, "max_length": 40, "norm_eps": 1e-5, "hidden_act": "SwiGLU",
}  # fmt: skip


def difference(ours, config: dict, weights: dict, lengths=LENGTHS) -> float:
    codes = random_codes(config["vocab_size"], lengths)
    results = [forward(config, weights, c[:, 0].tolist()) for c in codes]
    layers = [torch.cat([layers[i] for layers, _ in results]) for i in range(len(results[0][0]))]
    return largest_difference(ours, packed(ours, codes), layers, torch.cat([logits for _, logits in results]))


def without_special_rows(config: dict, weights: dict) -> MaskedTransformer:
    """The import that takes the model's own ids as codes."""
    return neobert.translate(PublicModel(Fields(config, "test"), weights)).build()[0]


@pytest.fixture
def word_pieces(tmp_path: Path) -> Path:
    folder = tmp_path / "neobert"
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat"]))
    return folder


@pytest.mark.parametrize(
    "options", [{}, {"num_attention_heads": 2, "num_hidden_layers": 1, "norm_eps": 1e-3}]
)
def test_neobert(options: dict, word_pieces: Path) -> None:
    config = CONFIG | options
    weights = random_weights(config)
    (word_pieces / "config.json").write_text(json.dumps(config))
    save_file(weights, word_pieces / "model.safetensors")
    pipeline = from_transformers(word_pieces)
    assert pipeline.extract_features({"text": ["the cat"]}, pool="tokens")["text"][0].shape == (2, 48)
    (word_pieces / "model.safetensors").unlink()
    torch.save(weights, word_pieces / "pytorch_model.bin")
    again = from_transformers(word_pieces).model
    assert all(
        torch.equal(a, b) for a, b in zip(again.parameters(), pipeline.model.parameters(), strict=True)
    )
    assert difference(without_special_rows(config, weights), config, weights) <= TOLERANCE


@pytest.mark.skipif(
    "NEOBERT_FOLDER" not in os.environ, reason="NEOBERT_FOLDER names no folder of a checkpoint"
)
def test_a_real_neobert() -> None:
    folder = Path(os.environ["NEOBERT_FOLDER"])
    config = json.loads((folder / "config.json").read_text())
    weights = read_tensors(folder / "model.safetensors")
    ours = without_special_rows(config, weights)
    assert difference(ours, config, weights, lengths=(5, 9)) <= TOLERANCE * 10
