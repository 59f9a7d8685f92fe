"""Checkpoints of Open-MAGVIT2's image tokenizers (Luo et al., 2024), by path."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from tokenizers_vq.quantizers import LFQ
from tokenizers_vq.vision.magvit2 import MAGVIT2
from tokenizers_vq.vision.weights import check_weights, read_weights

_AVERAGE = "model_ema."
# Discriminators, perceptual networks and counters of training.
_TRAINING = re.compile(r"^(loss\.|model_ema\.)")
_BLOCK = re.compile(r"^encoder\.down\.(\d+)\.block\.(\d+)\.conv1\.weight$")


def load_open_magvit2(
    path: Path | str, image_size: int | Sequence[int], num_codebooks: int = 2, is_averaged: bool = True
) -> MAGVIT2:
    """An image tokenizer of Open-MAGVIT2: 2^18 codes at f 16 (imagenet_256_L.ckpt) or f 8, 2^14 (pretraining).

    The code of each place is split into sub-ids of equally many bits, the lowest bits first; as one code it is
    their sum with weights 1, 2^bits, and so on, which is how Open-MAGVIT2 numbers its codes.

    Args:
        path: .ckpt of tensors alone, or .safetensors; under "state_dict" or plain.
        image_size: height and width in pixels that are encoded.
        num_codebooks: sub-ids of a code; 2 of 512 for 2^18.
        is_averaged: take the moving average of the weights, which the published numbers are of; files without one
            need False.

    Raises:
        ValueError: no such file, one that holds more than tensors, weights that are missing or left over, by name;
            weights of other shapes; sizes or sub-ids that do not divide.
    """
    content = read_weights(Path(path))
    weights = {name: value for name, value in content.items() if not _TRAINING.match(name)}
    if is_averaged:
        weights = _averages(content, weights, Path(path))
    tokenizer = MAGVIT2(image_size=image_size, **_sizes(weights, Path(path), num_codebooks))
    own = {n: v for n, v in tokenizer.state_dict().items() if n.startswith(("encoder.", "decoder."))}
    check_weights(own, weights, Path(path), "the Open-MAGVIT2 image tokenizer")
    tokenizer.load_state_dict(tokenizer.state_dict() | weights)
    return tokenizer.eval()


def _averages(content: dict[str, Tensor], weights: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    """The averages of the weights, which are called as these without the dots."""
    names = {name: _AVERAGE + name.replace(".", "") for name in weights}
    missing = sorted(name for name in names.values() if name not in content)
    if missing:
        raise ValueError(
            f"{path} lacks {len(missing)} averages, among them {missing[:3]}; expected one of every weight, or "
            "is_averaged=False for the weights as they were trained"
        )
    return {name: content[average] for name, average in names.items()}


def _sizes(weights: dict[str, Tensor], path: Path, num_codebooks: int) -> dict[str, Any]:
    """Arguments of MAGVIT2, from shapes."""
    needed = ("encoder.conv_in.weight", "encoder.conv_out.weight", "encoder.down.0.block.0.conv1.weight")
    missing = [name for name in needed if name not in weights]
    if missing:
        raise ValueError(f"{path} lacks the weights {missing}, expected an image tokenizer of Open-MAGVIT2")
    found = [(int(block[1]), int(block[2])) for block in map(_BLOCK.match, weights) if block]
    levels, blocks = (1 + max(numbers) for numbers in zip(*found))
    return {
        "quantizer": LFQ(weights["encoder.conv_out.weight"].shape[0], num_codebooks),
        "channels": weights["encoder.conv_in.weight"].shape[1],
        "widths": [weights[f"encoder.down.{i}.block.0.conv1.weight"].shape[0] for i in range(levels)],
        "num_blocks": blocks,
    }
