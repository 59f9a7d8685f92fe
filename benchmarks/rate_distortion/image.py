"""Image tokenizers beside JPEG and WebP at equal bits, and patches of a k-means codebook at equal tokens and codes.

Trains files of configs/tokenizer. "gain_db" is the PSNR (of drawn pixels, where there is plain ground) over that of the
k-means codebook, pooled over pixels and, "gain_mean_db", as the mean of the pictures; "is_reached": the smaller of both
and the use of the codes on the held-out pictures are as required.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torchvision.utils import save_image

from benchmarks.rate_distortion.budget import Budget, fit
from benchmarks.rate_distortion.configs import build_module, read_config
from benchmarks.rate_distortion.picture_peers import Rate, codec_rows, patch_row
from benchmarks.rate_distortion.stills import Stills, emoji, photos
from maskmm.half_precision import has_fast_bf16
from tokenizers_vq.checks import fixed_codes
from tokenizers_vq.contract import Tokenizer
from tokenizers_vq.contract.described import find_class
from tokenizers_vq.training import TokenizerModule

Row = dict[str, Any]
_BATCH = 64
_SHOWN = 32


@dataclass(frozen=True)
class Case:
    """A tokenizer to train.

    Attributes:
        name: of its row.
        config: file of configs/tokenizer, without ending.
        share: of the budget's CPU seconds.
        changes: arguments of the tokenizer other than the file's.
        goal_usage: share of the codes that must be in use on the held-out pictures.
        goal_db: PSNR that it must have over the k-means codebook.
    """

    name: str
    config: str
    share: float = 1.0
    changes: dict[str, Any] = field(default_factory=dict)
    goal_usage: float | None = None
    goal_db: float | None = None

    def module(self, seed: int) -> TokenizerModule:
        """What the config describes, with weights drawn from the seed."""
        told = read_config(f"tokenizer/{self.config}.yaml")["init_args"]
        part = told["tokenizer"]
        described = {"class_path": part["class_path"], "init_args": part["init_args"] | self.changes}
        allow = [find_class(part["class_path"], Tokenizer)]
        return build_module(told | {"tokenizer": described}, seed, allow)


EMOJI = (
    Case("VQGAN f8, VQ", "emoji_vqgan", goal_usage=0.6, goal_db=1.5),
    Case("VQGAN f8, FSQ", "emoji_fsq", share=0.25, goal_usage=0.9),
    Case("VQGAN f8, LFQ", "emoji_lfq", share=0.25, goal_usage=0.9),
    Case("VQGAN f4, VQ", "emoji_vqgan", share=0.2, changes={"stem_stride": 2, "width": 32}),
    Case("ViT f8, cosine VQ", "emoji_vit", share=0.15),
    Case("ViT 1-D, cosine VQ", "emoji_vit_1d", share=0.15),
    Case("dVAE f8, Gumbel-softmax", "emoji_dvae", share=0.15),
)
PHOTOS = (
    Case("VQGAN f8, VQ", "emoji_vqgan", share=0.25),
    Case("VQGAN f4, VQ", "emoji_vqgan", share=0.2, changes={"stem_stride": 2, "width": 32}),
)


def rows(budget: Budget) -> Iterator[Row]:
    """Rows of the drawings, then of the photographs."""
    told = read_config("experiment/emoji_tokenizer.yaml")
    batch_size = told["data"]["init_args"]["batch_size"]
    precision = "bf16-mixed" if has_fast_bf16() else "32-true"
    yield from compare(emoji(budget, batch_size), EMOJI, budget, precision)
    yield from compare(photos(budget, batch_size), PHOTOS, budget, precision)


def compare(
    stills: Stills, cases: Sequence[Case], budget: Budget, precision: Any = "32-true"
) -> Iterator[Row]:
    """Each tokenizer's row; before it those of its peers, unless a tokenizer of that rate had them.

    Args:
        stills: pictures.
        cases: tokenizers of one codebook; one without a place for each token has no peers of its own.
        budget: of each.
        precision: of the trainings.
    """
    shared: Row = {"medium": "image", "corpus": stills.name}
    patches: dict[Rate, Row] = {}
    told: set[float] = set()
    for case in cases:
        module = case.module(budget.seed)
        spec = module.tokenizer.spec
        assert spec.grid is not None and None not in spec.grid
        side = int(spec.stride[0]) if spec.stride else None
        rate = Rate(side, math.prod(int(length or 0) for length in spec.grid), spec.codebook_size)
        is_trained = budget.wants(case.name)
        if side is not None and rate not in patches and (is_trained or budget.wants(rate.patch_case)):
            patches[rate] = patch_row(stills, rate, budget)
            if budget.wants(rate.patch_case):
                yield shared | patches[rate]
        if side is not None and rate.bits not in told:
            told.add(rate.bits)
            yield from (shared | row for row in codec_rows(stills, rate.bits, budget))
        if is_trained:
            row = rate.columns() | _trained_row(case, module, stills, budget, precision)
            yield shared | row | _verdict(case, row, patches.get(rate))


def _trained_row(case: Case, module: TokenizerModule, stills: Stills, budget: Budget, precision: Any) -> Row:
    part = replace(budget, cpu_seconds=budget.cpu_seconds * case.share)
    fitted = fit(module, stills.data, part, precision=precision)
    tokenizer, spec = module.tokenizer, module.tokenizer.spec
    batches = [
        fixed_codes(tokenizer.encode(images), spec, "image codes") for images in stills.held_out.split(_BATCH)
    ]
    decoded, codes = torch.cat([tokenizer.decode(batch) for batch in batches]), torch.cat(batches)
    if budget.save_to is not None:
        folder = budget.save_to / f"{stills.name}, {case.name}".replace(" ", "_")
        tokenizer.save(folder)
        pictures = torch.cat([stills.held_out[:_SHOWN], decoded[:_SHOWN]])
        save_image(pictures, folder / "originals_above_decoded.png", nrow=_SHOWN // 2)
    usage = codes.unique().numel() / spec.codebook_size
    return {
        "case": case.name,
        "is_ours": True,
        "usage": round(usage, 3),
        "train_cpu_s": fitted.cpu_s,
        "steps": fitted.steps,
        "precision": str(precision),
    } | stills.score(decoded)


def _verdict(case: Case, row: Row, patches: Row | None) -> Row:
    """PSNR over the k-means codebook's, in both ways of pooling, and whether what is required was reached."""
    kind = "psnr_drawn" if "psnr_drawn" in row else "psnr"
    gains = {}
    if patches is not None:  # 1-D tokens have no patch
        gains = {f"gain{way}_db": round(row[kind + way] - patches[kind + way], 2) for way in ("", "_mean")}
    wanted = []
    if case.goal_db is not None:
        wanted.append(min(gains.values()) >= case.goal_db)
    if case.goal_usage is not None:
        wanted.append(row["usage"] >= case.goal_usage)
    return (
        gains
        | {"goal_db": case.goal_db, "goal_usage": case.goal_usage}
        | ({"is_reached": all(wanted)} if wanted else {})
    )
