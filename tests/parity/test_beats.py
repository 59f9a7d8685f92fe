"""BEATs checkpoints against a naive twin; a real one where BEATS_CHECKPOINT names its file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from torchaudio.compliance.kaldi import fbank

from maskmm.checkpoint import save_checkpoint
from maskmm.interop import from_beats
from maskmm.pipeline import load
from maskmm.sequence import pack
from tests.parity.hidden_states import TOLERANCE, largest_difference
from tests.reference.naive_beats import forward, random_weights
from tokenizers_vq.contract.tensor_files import read_tensors

CFG = {
    "input_patch_size": 16, "embed_dim": 24, "conv_bias": False, "encoder_layers": 3, "encoder_embed_dim": 32,
    "encoder_ffn_embed_dim": 48, "encoder_attention_heads": 4, "activation_fn": "gelu", "layer_norm_first": False,
    "deep_norm": True, "conv_pos": 12, "conv_pos_groups": 4, "relative_position_embedding": True, "num_buckets": 16,
    "max_distance": 40, "gru_rel_pos": True, "finetuned_model": False,
}  # fmt: skip


def clips(*seconds: float) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(7)
    return [torch.rand(int(16000 * s), generator=generator) * 2 - 1 for s in seconds]


def difference(pipeline, cfg: dict, weights: dict, waves: list[torch.Tensor]) -> float:
    batch = pipeline._codec.samples({"audio": waves}, pipeline.vocabulary.modalities, {"audio"})
    results = []
    for wave in waves:
        bank = fbank(
            wave[None] * 2**15, num_mel_bins=128, sample_frequency=16000, frame_length=25, frame_shift=10
        )
        results.append(forward(cfg, weights, (bank - 15.41663) / (2 * 6.55582)))
    layers = [torch.cat([one[i] for one in results]) for i in range(len(results[0]))]
    return largest_difference(pipeline.model, pack(batch, pipeline.vocabulary), layers)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"conv_pos": 7, "deep_norm": False, "encoder_layers": 1, "num_buckets": 8},
        {"deep_norm": False, "layer_norm_first": True, "gru_rel_pos": False},
    ],
)
def test_beats(options: dict, tmp_path: Path) -> None:
    cfg, waves = CFG | options, clips(0.18, 0.5, 0.37)
    weights = random_weights(cfg)
    torch.save({"cfg": cfg, "model": weights}, tmp_path / "beats.pt")
    pipeline = from_beats(tmp_path / "beats.pt")
    assert difference(pipeline, cfg, weights, waves) <= TOLERANCE
    save_checkpoint(tmp_path / "ours", pipeline.model, pipeline.tokenizers)
    once, again = (p.extract_features({"audio": waves})["audio"] for p in (pipeline, load(tmp_path / "ours")))
    assert once.shape == (3, 32) and torch.equal(once, again)


@pytest.mark.skipif("BEATS_CHECKPOINT" not in os.environ, reason="BEATS_CHECKPOINT names no checkpoint file")
def test_a_real_beats() -> None:
    path = Path(os.environ["BEATS_CHECKPOINT"])
    data = read_tensors(path)
    assert difference(from_beats(path), data["cfg"], data["model"], clips(0.5, 1.0)) <= TOLERANCE * 10
