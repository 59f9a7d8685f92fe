"""Tiny models of other packages, built from their configurations without any file."""

from __future__ import annotations

import json
from typing import Any

import torch
import transformers
from diffusers import VQModel

from tokenizers_vq.pretrained import PretrainedDac, PretrainedEncodec, PretrainedMimi, PretrainedVQModel


def plain(config: Any) -> dict[str, Any]:
    return json.loads(config.to_json_string(use_diff=False))


def encodec(**changes: Any) -> PretrainedEncodec:
    torch.manual_seed(0)
    sizes = {"num_filters": 2, "num_lstm_layers": 1, "upsampling_ratios": [4, 2], "hidden_size": 8}
    rates = {"sampling_rate": 16000, "codebook_size": 16, "target_bandwidths": [8.0, 24.0]}
    codec = PretrainedEncodec(
        plain(transformers.EncodecConfig(**sizes, **rates)), **({"max_length": 800} | changes)
    )
    with torch.no_grad():
        for layer in codec.model.quantizer.layers:
            layer.codebook.embed.normal_()
    return codec


def dac(**changes: Any) -> PretrainedDac:
    torch.manual_seed(0)
    config = transformers.DacConfig(
        encoder_hidden_size=4,
        downsampling_ratios=[2, 4],
        decoder_hidden_size=8,
        n_codebooks=3,
        codebook_size=16,
        codebook_dim=2,
        sampling_rate=16000,
    )
    return PretrainedDac(plain(config), **({"max_length": 800} | changes))


def mimi(**changes: Any) -> PretrainedMimi:
    torch.manual_seed(0)
    config = transformers.MimiConfig(
        sampling_rate=16000,
        hidden_size=16,
        num_filters=2,
        upsampling_ratios=[4, 2],
        codebook_size=16,
        codebook_dim=8,
        vector_quantization_hidden_dimension=8,
        num_quantizers=3,
        num_semantic_quantizers=1,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=8,
        intermediate_size=16,
        upsample_groups=16,
        frame_rate=1000.0,
    )
    codec = PretrainedMimi(plain(config), **({"max_length": 800} | changes))
    with torch.no_grad():
        for name, buffer in codec.model.quantizer.named_buffers():
            if name.endswith("embed_sum"):
                buffer.normal_()
    return codec


def vq_model(**changes: Any) -> PretrainedVQModel:
    torch.manual_seed(0)
    model = VQModel(
        in_channels=1,
        out_channels=1,
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(8, 8),
        norm_num_groups=4,
        num_vq_embeddings=16,
        latent_channels=3,
        **changes,
    )
    config = {name: value for name, value in model.config.items() if not name.startswith("_")}
    tokenizer = PretrainedVQModel(config, 16)
    tokenizer.model.quantize.embedding.weight.data.normal_()
    return tokenizer
