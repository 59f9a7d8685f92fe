"""The body that pybullet's motion files move, and the layout of their frames."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from datamodules.corpora.packages import package_folder
from tokenizers_vq.contract.motion import Skeleton
from tokenizers_vq.contract.quaternion import slerp

_SCALE = 0.25  # the drawing of the body (humanoid.urdf) is four times as large as the motion

# Joint, its parent, offset as in humanoid.urdf, numbers a frame (4 a quaternion, 1 an angle about z, 0 fixed).
_JOINTS: tuple[tuple[str, str, tuple[float, float, float], int], ...] = (
    ("root", "", (0.0, 0.0, 0.0), 4),
    ("chest", "root", (0.0, 0.944604, 0.0), 4),
    ("neck", "chest", (0.0, 0.895576, 0.0), 4),
    ("right_hip", "root", (0.0, 0.0, 0.339548), 4),
    ("right_knee", "right_hip", (0.0, -1.686184, 0.0), 1),
    ("right_ankle", "right_knee", (0.0, -1.63948, 0.0), 4),
    ("right_shoulder", "chest", (-0.0962, 0.974, 0.73244), 4),
    ("right_elbow", "right_shoulder", (0.0, -1.099152, 0.0), 1),
    ("right_wrist", "right_elbow", (0.0, -1.035788, 0.0), 0),
    ("left_hip", "root", (0.0, 0.0, -0.339548), 4),
    ("left_knee", "left_hip", (0.0, -1.686184, 0.0), 1),
    ("left_ankle", "left_knee", (0.0, -1.63948, 0.0), 4),
    ("left_shoulder", "chest", (-0.0962, 0.974, -0.73244), 4),
    ("left_elbow", "left_shoulder", (0.0, -1.099152, 0.0), 1),
    ("left_wrist", "left_elbow", (0.0, -1.035788, 0.0), 0),
)


def _skeleton() -> Skeleton:
    names = tuple(joint[0] for joint in _JOINTS)
    other = {"right": "left", "left": "right"}
    swapped = ["_".join(other.get(word, word) for word in name.split("_")) for name in names]
    return Skeleton(
        names,
        tuple(names.index(parent) if parent else -1 for _, parent, _, _ in _JOINTS),
        tuple((x * _SCALE, y * _SCALE, z * _SCALE) for _, _, (x, y, z), _ in _JOINTS),
        tuple(names.index(name) for name in swapped),
    )


HUMANOID = _skeleton()
"""15 joints; at rest the body looks along x, y is up, its right hand is at positive z."""

_WIDTHS = tuple(width for *_, width in _JOINTS)
_NUMBERS = 4 + sum(_WIDTHS)  # duration, root position, joints


class Recording(NamedTuple):
    """Poses at times of their own.

    Attributes:
        times: (F,) float64 seconds, ascending from 0.
        root: (F, 3) float64 metres.
        rotations: (F, 15, 4) float64 unit quaternions (w, x, y, z), each against its parent.
    """

    times: Tensor
    root: Tensor
    rotations: Tensor


def motions_folder() -> Path:
    """Folder of pybullet's motion files.

    Raises:
        ValueError: pybullet is not installed.
    """
    try:
        return package_folder("pybullet_data", "pybullet", "the actions corpus") / "data" / "motions"
    except ValueError as error:
        # Elsewhere pip may have to compile pybullet for an hour, so the extra asks for it under 3.11 alone.
        raise ValueError(
            f"{error} (under Python 3.11; elsewhere unpack pybullet_data/data/motions from its wheel and give that "
            "folder)"
        ) from error


def read_recording(path: Path) -> Recording:
    """Read a motion file: JSON with a list of frames of 44 numbers.

    Raises:
        ValueError: no such file, not JSON, or frames of another length.
    """
    try:
        values = torch.tensor(json.loads(path.read_text())["Frames"], dtype=torch.float64)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is no readable motion file ({error})") from error
    if values.ndim != 2 or values.shape[1] != _NUMBERS or len(values) < 2:
        raise ValueError(f"{path}: frames of shape {tuple(values.shape)}, expected (2 or more, {_NUMBERS})")
    durations, root, *joints = values.split([1, 3, *_WIDTHS], dim=1)
    times = torch.cat([torch.zeros(1, dtype=torch.float64), durations[:-1, 0].cumsum(0)])
    return Recording(times, root, torch.stack([_quaternion(joint) for joint in joints], dim=1))


def _quaternion(values: Tensor) -> Tensor:
    """(F, 4) unit quaternions of a joint's numbers (F, 4), (F, 1) or (F, 0)."""
    if values.shape[1] == 4:  # the files round them
        return values / values.norm(dim=1, keepdim=True)
    half = values[:, 0] / 2.0 if values.shape[1] else values.new_zeros(len(values))
    zero = torch.zeros_like(half)
    return torch.stack([half.cos(), zero, zero, half.sin()], dim=1)


def pose_at(recording: Recording, seconds: Tensor) -> tuple[Tensor, Tensor]:
    """Poses between the recorded ones: the root on a line, each joint on the shorter arc.

    Args:
        recording: F poses.
        seconds: (T,) float64, within the recording.

    Returns:
        (T, 3) root, (T, 15, 4) rotations, float32.

    Raises:
        ValueError: a time outside the recording.
    """
    last = float(recording.times[-1])
    if float(seconds.min()) < -1e-6 or float(seconds.max()) > last + 1e-6:
        raise ValueError(
            f"{float(seconds.min()):g} to {float(seconds.max()):g} s, expected within 0 to {last:g} s"
        )
    after = torch.searchsorted(recording.times, seconds).clamp(1, len(recording.times) - 1)
    start, stop = recording.times[after - 1], recording.times[after]
    share = ((seconds - start) / (stop - start)).clamp(0.0, 1.0)
    root = torch.lerp(recording.root[after - 1], recording.root[after], share[:, None])
    joints = slerp(recording.rotations[after - 1], recording.rotations[after], share[:, None])
    return root.float(), joints.float()
