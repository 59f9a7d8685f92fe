"""Motion in safetensors files: poses, and the skeleton and rate in the header."""

from __future__ import annotations

import json
from dataclasses import asdict

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from tokenizers_vq.contract.motion import Motion, Skeleton

_LENGTH_BYTES = 8  # of the header, at the start of a safetensors file


def encode_motion(motion: Motion, rate: float) -> bytes:
    """File content of a motion.

    Raises:
        ValueError: no motion, or one of another rate.
    """
    if not isinstance(motion, Motion):
        raise ValueError(
            f"motion of type {type(motion).__name__}, expected tokenizers_vq.contract.motion.Motion"
        )
    _check_rate(motion.rate, rate, "motion")
    tensors = {"root": motion.root.contiguous(), "rotations": motion.rotations.contiguous()}
    return save(tensors, {"rate": str(motion.rate), "skeleton": json.dumps(asdict(motion.skeleton))})


def decode_motion(data: bytes, rate: float, name: str = "motion") -> Motion:
    """Inverse of `encode_motion`.

    Args:
        data: the file's content.
        rate: poses a second that the file must have; nothing is resampled here.
        name: says in errors which file it was.

    Raises:
        ValueError: no such file of a motion, or another rate.
    """
    try:
        tensors = load(data)
        end = _LENGTH_BYTES + int.from_bytes(data[:_LENGTH_BYTES], "little")
        header = json.loads(data[_LENGTH_BYTES:end])["__metadata__"]
        found = float(header["rate"])
        parts = json.loads(header["skeleton"])
        skeleton = Skeleton(
            tuple(parts["names"]),
            tuple(parts["parents"]),
            tuple((x, y, z) for x, y, z in parts["offsets"]),
            tuple(parts["mirror"]),
        )
        motion = Motion(skeleton, found, tensors["root"].float(), tensors["rotations"].float())
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{name} is no readable motion ({error!r}); expected root, rotations and skeleton"
        ) from error
    _check_rate(found, rate, name)
    return motion


def _check_rate(found: float, rate: float, name: str) -> None:
    if not torch.isclose(torch.tensor(found), torch.tensor(float(rate)), rtol=1e-4):
        raise ValueError(f"{name} has {found:g} poses a second, expected {rate:g}; resample it first")
