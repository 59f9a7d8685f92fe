"""Mean joint error of the motion tokenizer by residual level, beside residual k-means at equal tokens and codes.

Trains configs/tokenizer/actions_motion.yaml on the data of configs/experiment/actions_tokenizer.yaml, then encodes and
decodes held-out windows. Errors are of the joints of the decoded motion, by its rotations and the skeleton's bones.
"local_mm": each pose by itself, from the ground under its root and turned to its heading; "global_mm": over the window,
from the first pose on, so that errors of the path add up.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from benchmarks.rate_distortion.budget import Budget, fit
from benchmarks.rate_distortion.configs import build_module, read_config
from benchmarks.rate_distortion.motion_kmeans import PosePatchKMeans
from datamodules.actions_media import ActionMotions
from tokenizers_vq.contract.motion import Motion
from tokenizers_vq.motion import MotionRVQ, PoseFeatures

Row = dict[str, Any]
GOAL_MM = 30.0
_PEER_WINDOWS = 2048
_QUICK_WINDOWS, _QUICK_HELD_OUT = 64, 4


def rows(budget: Budget) -> Iterator[Row]:
    """For each split and number of levels a row of ours, then one of each k-means."""
    experiment = read_config("experiment/actions_tokenizer.yaml")
    data = ActionMotions(**experiment["data"]["init_args"], num_steps=1, seed=budget.seed)
    module = build_module(read_config("tokenizer/actions_motion.yaml")["init_args"], budget.seed)
    fitted = fit(module, data, budget, experiment["trainer"]["gradient_clip_val"])
    tokenizer = module.tokenizer
    assert isinstance(tokenizer, MotionRVQ)
    if budget.save_to is not None:
        tokenizer.save(budget.save_to / "motion")
    windows = _QUICK_WINDOWS if budget.is_quick else _PEER_WINDOWS
    peers = {
        "residual k-means on patches, takes alone": _plain_poses(data, windows),
        "residual k-means on patches, our training data": _varied_poses(data, windows),
    }
    books = {case: PosePatchKMeans(tokenizer, poses_BTP, budget.seed) for case, poses_BTP in peers.items()}
    spent = {"steps": fitted.steps, "cpu_s": fitted.cpu_s, "wall_s": fitted.wall_s}
    for split in ("val", "test"):
        motions = data.corpus.motions(data.corpus.windows(split))
        motions = motions[:_QUICK_HELD_OUT] if budget.is_quick else motions
        yield from _our_rows(tokenizer, split, motions, spent)
        for case, book in books.items():
            for level in range(1, tokenizer.spec.num_codebooks + 1):
                found = errors_mm(_features(tokenizer), motions, book.decoded(motions, level))
                yield _shared(tokenizer, case, split, motions, level) | found


def errors_mm(
    features: PoseFeatures, originals: Sequence[Motion], decoded: Sequence[Motion]
) -> dict[str, float]:
    """Mean distance of the joints, local and global; poses that the last token adds are cut off."""
    local, whole = [], []
    for original, other in zip(originals, decoded):
        length = len(original)
        other = Motion(other.skeleton, other.rate, other.root[:length], other.rotations[:length])
        whole.append((features.canonical(original).positions - other.positions).norm(dim=-1).mean())
        one, two = (features.kept_joints(features.of_motion(m)[None]) for m in (original, other))
        local.append((one - two).norm(dim=-1).mean())
    return {"local_mm": _millimetres(local), "global_mm": _millimetres(whole)}


def _our_rows(
    tokenizer: MotionRVQ, split: str, motions: Sequence[Motion], spent: dict[str, float]
) -> Iterator[Row]:
    codes = tokenizer.encode(motions)
    used = torch.cat(codes)
    last, before = tokenizer.spec.num_codebooks, float("inf")
    for level in range(1, last + 1):
        found = errors_mm(_features(tokenizer), motions, tokenizer.decode_levels(codes, level))
        yield (
            _shared(tokenizer, "MotionRVQ", split, motions, level, is_ours=True)
            | found
            | {"codes_used": used[:, level - 1].unique().numel(), "is_lower": found["local_mm"] < before}
            | {"is_reached": found["local_mm"] <= GOAL_MM if level == last else None}
            | spent
        )
        before = found["local_mm"]


def _shared(
    tokenizer: MotionRVQ, case: str, split: str, motions: Sequence[Motion], level: int, is_ours: bool = False
) -> Row:
    spec = tokenizer.spec
    bits = level * math.log2(spec.codebook_size) * spec.rate / spec.stride[0]
    about = {"medium": "motion", "corpus": "actions", "case": case, "is_ours": is_ours, "split": split}
    return about | {"windows": len(motions), "levels": level, "bits_s": round(bits)}


def _features(tokenizer: MotionRVQ) -> PoseFeatures:
    features = tokenizer.features
    assert isinstance(features, PoseFeatures)
    return features


def _plain_poses(data: ActionMotions, count: int) -> Tensor:
    """Windows at the clips' own speed, plain and mirrored, at every pose."""
    return data.corpus.poses(data.corpus.windows("train", hop=1)[:count])


def _varied_poses(data: ActionMotions, count: int) -> Tensor:
    """The first windows that ours saw in training."""
    data.num_steps = -(-count // data.batch_size)
    return torch.cat([batch["media"] for batch in data.train_dataloader()])[:count]


def _millimetres(metres: Sequence[Tensor]) -> float:
    return round(1e3 * float(torch.stack(list(metres)).mean()), 2)
