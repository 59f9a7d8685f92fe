"""Checkpoints of taming-transformers' VQGAN (Esser et al., 2021) and of LlamaGen (Sun et al., 2024), by path.

Both are the network of diffusers' VQModel under other names: their weights are renamed, and sizes follow from shapes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from tokenizers_vq.pretrained.vq_model import PretrainedVQModel
from tokenizers_vq.vision.weights import check_weights, read_weights

# Discriminators, perceptual networks and counters of training.
_TRAINING = re.compile(r"^(loss\.|model_ema\.|quantize\.codebook_used$)")
_LLAMAGEN = (
    (r"^encoder\.conv_blocks\.", "encoder.down."),
    (r"\.res\.", ".block."),
    (r"\.mid\.0\.", ".mid.block_1."),
    (r"\.mid\.1\.", ".mid.attn_1."),
    (r"\.mid\.2\.", ".mid.block_2."),
)
_ATTENTION = (
    (r"(attn_1|attn\.\d+)\.norm\.", r"\1.group_norm."),
    (r"(attn_1|attn\.\d+)\.([qkv])\.", r"\1.to_\2."),
    (r"(attn_1|attn\.\d+)\.proj_out\.", r"\1.to_out.0."),
)
_TAMING = (
    *_ATTENTION,
    (r"\.down\.(\d+)\.", r".down_blocks.\1."),
    (r"\.mid\.block_1\.", ".mid_block.resnets.0."),
    (r"\.mid\.attn_1\.", ".mid_block.attentions.0."),
    (r"\.mid\.block_2\.", ".mid_block.resnets.1."),
    (r"\.block\.(\d+)\.", r".resnets.\1."),
    (r"\.attn\.(\d+)\.", r".attentions.\1."),
    (r"\.downsample\.", ".downsamplers.0."),
    (r"\.upsample\.", ".upsamplers.0."),
    (r"\.nin_shortcut\.", ".conv_shortcut."),
    (r"\.norm_out\.", ".conv_norm_out."),
)


def load_taming(path: Path | str, image_size: int | Sequence[int]) -> PretrainedVQModel:
    """A VQGAN of taming-transformers, f = 8 or 16, with a plain codebook (no Gumbel one).

    Args:
        path: .ckpt of tensors alone, or .safetensors; under "state_dict" or plain.
        image_size: see `PretrainedVQModel`.

    Raises:
        ValueError: no such file, one that holds more than tensors, or weights that are missing, left over or of
            other shapes, by name.
    """
    return _build(_named(read_weights(Path(path))), Path(path), image_size, is_cosine=False)


def load_llamagen(path: Path | str, image_size: int | Sequence[int]) -> PretrainedVQModel:
    """The VQ tokenizer of LlamaGen (vq_ds16_c2i.pt and its kin); codes are looked up by angle.

    Args:
        path: .pt or .safetensors; under "model" or plain.
        image_size: see `PretrainedVQModel`.

    Raises:
        ValueError: as `load_taming`.
    """
    weights = _named(read_weights(Path(path)))
    levels = 1 + max(
        (int(n.split(".")[2]) for n in weights if n.startswith("decoder.conv_blocks.")), default=0
    )
    renamed = {}
    for name, value in weights.items():
        # Its decoder counts resolutions from the lowest, taming's from the highest.
        upward = re.sub(
            r"^decoder\.conv_blocks\.(\d+)\.", lambda found: f"decoder.up.{levels - 1 - int(found[1])}.", name
        )
        renamed[_rename(upward, _LLAMAGEN)] = value
    codebook = "quantize.embedding.weight"
    if codebook in renamed:
        renamed[codebook] = F.normalize(renamed[codebook], dim=-1)
    return _build(renamed, Path(path), image_size, is_cosine=True)


def _build(
    weights: dict[str, Tensor], path: Path, image_size: int | Sequence[int], is_cosine: bool
) -> PretrainedVQModel:
    """From weights under taming's names."""
    tokenizer = PretrainedVQModel(_config(weights, path), image_size, is_cosine=is_cosine)
    own, levels = tokenizer.model.state_dict(), len(tokenizer.model.config.block_out_channels)
    renamed = {}
    for name, value in weights.items():
        upward = re.sub(
            r"^decoder\.up\.(\d+)\.", lambda found: f"decoder.up_blocks.{levels - 1 - int(found[1])}.", name
        )
        there = _rename(upward, _TAMING)
        # 1 x 1 convolutions here are linear layers there.
        is_linear = there in own and own[there].ndim == 2 and value.ndim == 4
        renamed[there] = value.flatten(1) if is_linear else value
    check_weights(own, renamed, path, "the checkpoint (names as in diffusers' VQModel)")
    tokenizer.model.load_state_dict(renamed)
    return tokenizer


def _config(weights: dict[str, Tensor], path: Path) -> dict[str, Any]:
    """Arguments of VQModel, from shapes."""
    needed = (
        "encoder.conv_in.weight",
        "encoder.conv_out.weight",
        "decoder.conv_out.weight",
        "quantize.embedding.weight",
    )
    missing = [name for name in (*needed, "encoder.down.0.block.0.conv1.weight") if name not in weights]
    if missing:
        raise ValueError(f"{path} lacks the weights {missing}, expected a VQGAN with one plain codebook")
    blocks = [re.match(r"encoder\.down\.(\d+)\.block\.(\d+)\.conv1\.weight", name) for name in weights]
    found = [(int(block[1]), int(block[2])) for block in blocks if block]
    levels, layers = (1 + max(numbers) for numbers in zip(*found))
    has_attention = [f"encoder.down.{level}.attn.0.q.weight" in weights for level in range(levels)]
    channels = [weights[f"encoder.down.{level}.block.0.conv1.weight"].shape[0] for level in range(levels)]
    first, last, out, codebook = (weights[name] for name in needed)
    return {
        "in_channels": first.shape[1],
        "out_channels": out.shape[0],
        "down_block_types": [
            "AttnDownEncoderBlock2D" if has else "DownEncoderBlock2D" for has in has_attention
        ],
        "up_block_types": [
            "AttnUpDecoderBlock2D" if has else "UpDecoderBlock2D" for has in has_attention[::-1]
        ],
        "block_out_channels": channels,
        "layers_per_block": layers,
        "latent_channels": last.shape[0],
        "num_vq_embeddings": codebook.shape[0],
        "vq_embed_dim": codebook.shape[1],
    }


def _named(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value for name, value in weights.items() if not _TRAINING.match(name)}


def _rename(name: str, rules: Sequence[tuple[str, str]]) -> str:
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    return name
