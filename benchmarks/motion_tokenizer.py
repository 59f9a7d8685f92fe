"""Mean joint error of the motion tokenizer on held-out windows, by residual level, beside k-means at equal codes.

python -m benchmarks.motion_tokenizer [--steps N] [--seed 0] [--threads 2] [--out FILE] [--save FOLDER]

Trains configs/tokenizer/actions_motion.yaml on the data of configs/experiment/actions_tokenizer.yaml. The peer is
residual k-means on patches of the same features: as many tokens, levels and codes. Errors are of the joints of the
decoded motion, by its rotations and the skeleton's bones. "local": each pose by itself, from the ground under its root
and turned to its heading; "global": over the window, from the first pose on, so that errors of the path add up.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import lightning as L
import torch
import yaml
from torch import Tensor

from benchmarks.clock import Clock
from benchmarks.environment import environment
from datamodules.actions_media import ActionMotions
from tokenizers_vq.contract import Key
from tokenizers_vq.contract.motion import Motion
from tokenizers_vq.motion import MotionRVQ, PoseFeatures
from tokenizers_vq.quantizers import ResidualVQ
from tokenizers_vq.quantizers.kmeans import kmeans
from tokenizers_vq.training import TokenizerModule

_CONFIGS = Path(__file__).parents[1] / "configs"
_GOAL_MM = 30.0
_PATCH = 4  # poses a token
_PEER_WINDOWS = 2048


def _read(name: str) -> dict[str, Any]:
    return yaml.safe_load((_CONFIGS / name).read_text())


def train(data: ActionMotions, seed: int) -> MotionRVQ:
    """The tokenizer of the config, trained on the data's steps."""
    told = _read("tokenizer/actions_motion.yaml")["init_args"]
    L.seed_everything(seed)
    module = TokenizerModule(
        MotionRVQ(**told["tokenizer"]["init_args"]), **{k: v for k, v in told.items() if k != "tokenizer"}
    )
    trainer = L.Trainer(
        accelerator="cpu",
        max_steps=data.num_steps,
        gradient_clip_val=1.0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        limit_val_batches=0,
    )
    trainer.fit(module, datamodule=data)
    tokenizer = module.tokenizer.eval()
    assert isinstance(tokenizer, MotionRVQ)
    return tokenizer


def errors_mm(
    features: PoseFeatures, originals: Sequence[Motion], decoded: Sequence[Motion]
) -> dict[str, float]:
    """Mean distance of the joints, local and global."""
    local, whole = [], []
    for original, other in zip(originals, decoded):
        length = len(original)
        other = Motion(other.skeleton, other.rate, other.root[:length], other.rotations[:length])
        whole.append((features.canonical(original).positions - other.positions).norm(dim=-1).mean())
        one, two = (features.kept_joints(features.of_motion(m)[None]) for m in (original, other))
        local.append((one - two).norm(dim=-1).mean())
    return {
        "local_mm": 1e3 * float(torch.stack(local).mean()),
        "global_mm": 1e3 * float(torch.stack(whole).mean()),
    }


class PatchKMeans:
    """Residual k-means on patches of normalised features."""

    def __init__(self, tokenizer: MotionRVQ, data: ActionMotions) -> None:
        windows = data.corpus.draw("train", Key(data.seed).fold("peer"), torch.arange(_PEER_WINDOWS))
        spec = tokenizer.spec
        self._tokenizer = tokenizer
        rows = torch.cat([self._patches(motion) for motion in data.corpus.motions(windows)])
        self._quantizer = ResidualVQ(
            spec.num_codebooks, spec.codebook_size, rows.shape[1], init="normal"
        ).eval()
        for index, level in enumerate(self._quantizer._levels()):
            level.codebook_KD.copy_(kmeans(rows, torch.ones(len(rows)), spec.codebook_size, Key(index)))
            rows = rows - level.decode(level.encode(rows))

    def _patches(self, motion: Motion) -> Tensor:
        """(n, 4 x width): the last pose is held up to the end of the last patch, as the tokenizer does."""
        length = len(motion)
        index = torch.arange(length + -length % _PATCH).clamp(max=length - 1)
        features = self._tokenizer.features.of_poses(motion.poses[index][None], torch.tensor([length]))
        return self._tokenizer.normaliser(features)[0].reshape(-1, _PATCH * features.shape[-1])

    def decoded(self, motions: Sequence[Motion], num_levels: int) -> list[Motion]:
        """Motions by the first levels."""
        tokenizer, out = self._tokenizer, []
        for motion in motions:
            rows = self._quantizer.decode(self._quantizer.encode(self._patches(motion))[:, :num_levels])
            features = rows.reshape(-1, tokenizer.features.width)
            out.append(tokenizer.features.media(tokenizer.normaliser.inverse(features)))
        return out


def rows(tokenizer: MotionRVQ, data: ActionMotions) -> Iterator[dict[str, Any]]:
    """A row for each split and number of levels."""
    peer, features = PatchKMeans(tokenizer, data), tokenizer.features
    levels = range(1, tokenizer.spec.num_codebooks + 1)
    for split in ("val", "test"):
        motions = data.corpus.motions(data.corpus.windows(split))
        codes = tokenizer.encode(motions)
        used = torch.cat(codes)
        for level in levels:
            ours = errors_mm(features, motions, tokenizer.decode_levels(codes, level))
            theirs = errors_mm(features, motions, peer.decoded(motions, level))
            yield {
                "split": split,
                "windows": len(motions),
                "levels": level,
                **{name: round(value, 2) for name, value in ours.items()},
                **{f"kmeans_{name}": round(value, 2) for name, value in theirs.items()},
                "codes_used": int(used[:, level - 1].unique().numel()),
                "is_reached": ours["local_mm"] <= _GOAL_MM if level == levels[-1] else None,
            }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, help="those of the experiment's config where not given")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, help="file that the JSON lines go to as well")
    parser.add_argument("--save", type=Path, help="folder that the tokenizer goes to")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    experiment = _read("experiment/actions_tokenizer.yaml")
    steps = options.steps or experiment["trainer"]["max_steps"]
    data = ActionMotions(**experiment["data"]["init_args"], num_steps=steps, seed=options.seed)
    shared = environment(Clock("cpu"), ["lightning"]) | {"steps": str(steps), "seed": str(options.seed)}
    cpu, wall = time.process_time(), time.monotonic()
    tokenizer = train(data, options.seed)
    shared |= {
        "train_cpu_s": str(round(time.process_time() - cpu)),
        "train_wall_s": str(round(time.monotonic() - wall)),
        "threads": str(options.threads),
    }
    if options.save is not None:
        tokenizer.save(options.save)
    lines = [json.dumps(row | shared) for row in rows(tokenizer, data)]
    print("\n".join(lines))
    if options.out is not None:
        options.out.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
