"""Batches of motions of unequal length: checked, then filled by holding the last pose."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from tokenizers_vq.checks import check_float
from tokenizers_vq.contract.motion import Motion, Skeleton

_UNIT = 1e-3  # how far a quaternion's length may be from 1
_BONE = 1e-5  # metres, the same for two skeletons: files round


def pad_poses(
    media: Tensor | Sequence[Motion],
    lengths: Tensor | None,
    skeleton: Skeleton,
    rate: float,
    shortest: int,
    longest: int,
    multiple: int,
) -> tuple[Tensor, Tensor]:
    """One batch of poses, as long as the longest motion filled up to a multiple.

    Args:
        media: list of motions, or padded poses (B, T, 3 + 4 J) as Motion.poses has them.
        lengths: (B,) int64, real poses of each row of padded poses; all of them where not given.
        skeleton, rate: that the motions must have.
        shortest, longest: allowed poses of a motion.
        multiple: of which the batch has a number of poses.

    Returns:
        poses (B, T, 3 + 4 J) float32, each row's last pose held to its end; lengths (B,) int64.

    Raises:
        ValueError: a wrong type, shape, skeleton or rate, NaN, rotations that are not of unit length, a motion too
            short or too long.
    """
    if isinstance(media, Tensor):
        padded, sizes = _check_padded(media, lengths, 3 + 4 * len(skeleton.names))
    else:
        if lengths is not None:
            raise ValueError(
                "lengths belong to padded poses (B, T, 3 + 4 J); expected none with a list of motions"
            )
        padded, sizes = _pad_list(media, skeleton, rate)
    low, high = int(sizes.min()), int(sizes.max())
    if low < shortest or high > longest:
        raise ValueError(
            f"motions of {low} to {high} poses, expected {shortest} to {longest}; leave out or cut the others"
        )
    pose_T = torch.arange(high + -high % multiple, device=padded.device)
    index_BT = torch.minimum(pose_T, sizes[:, None] - 1)
    poses_BTP = padded.float()[torch.arange(len(sizes), device=padded.device)[:, None], index_BT]
    _check_values(poses_BTP)
    return poses_BTP, sizes


def _check_values(poses_BTP: Tensor) -> None:
    if not bool(torch.isfinite(poses_BTP).all()):
        raise ValueError("the poses hold NaN or infinite values; expected metres and unit quaternions")
    size = poses_BTP[..., 3:].unflatten(-1, (-1, 4)).norm(dim=-1)
    worst = float((size - 1.0).abs().max())
    if worst > _UNIT:
        raise ValueError(
            f"quaternions differ from unit length by up to {worst:g}, expected at most {_UNIT:g}; divide each by "
            "its norm"
        )


def _check_padded(media: Tensor, lengths: Tensor | None, width: int) -> tuple[Tensor, Tensor]:
    check_float(media, "motion")
    if media.ndim != 3 or media.shape[2] != width or media.numel() == 0:
        raise ValueError(
            f"poses of shape {tuple(media.shape)}, expected (B, T, {width}): the root and a quaternion for each "
            "joint of the tokenizer's skeleton"
        )
    if lengths is None:
        return media, torch.full((len(media),), media.shape[1], device=media.device)
    if lengths.shape != media.shape[:1] or lengths.is_floating_point():
        raise ValueError(
            f"lengths of shape {tuple(lengths.shape)} and {lengths.dtype}, expected ({len(media)},) int64"
        )
    if int(lengths.max()) > media.shape[1]:
        raise ValueError(
            f"lengths up to {int(lengths.max())}, expected at most {media.shape[1]}, the poses of the padded batch"
        )
    return media, lengths.to(media.device)


def _pad_list(media: Sequence[Motion], skeleton: Skeleton, rate: float) -> tuple[Tensor, Tensor]:
    if not isinstance(media, Sequence) or not media:
        raise ValueError(f"{type(media).__name__} without motions; expected a list of at least one Motion")
    for motion in media:
        if not isinstance(motion, Motion):
            raise ValueError(
                f"motion of type {type(motion).__name__}, expected tokenizers_vq.contract.motion.Motion"
            )
        check_motion(motion, skeleton, rate)
    sizes = torch.tensor([len(motion) for motion in media], device=media[0].root.device)
    return torch.nn.utils.rnn.pad_sequence([motion.poses for motion in media], batch_first=True), sizes


def check_motion(motion: Motion, skeleton: Skeleton, rate: float) -> None:
    """Raise ValueError unless a motion has this skeleton and rate."""
    if abs(motion.rate - rate) > 1e-4 * rate:
        raise ValueError(f"a motion of {motion.rate:g} poses a second, expected {rate:g}; resample it first")
    found = motion.skeleton
    if (found.names, found.parents) != (skeleton.names, skeleton.parents):
        raise ValueError(
            f"a motion of the skeleton {found.names} on {found.parents}, expected {skeleton.names} on "
            f"{skeleton.parents}; bring it to the tokenizer's skeleton first, or train a tokenizer for this one"
        )
    gap = max(abs(a - b) for one, other in zip(found.offsets, skeleton.offsets) for a, b in zip(one, other))
    if gap > _BONE:
        raise ValueError(
            f"a motion whose joints' offsets differ by up to {gap:g} m from the tokenizer's skeleton, expected at most "
            f"{_BONE:g} m; bring it to that skeleton first, or train a tokenizer for this one"
        )
