"""What the tokenizers keep of images and speech."""

from __future__ import annotations

from typing import Any, Literal

import torch

from maskmm.evaluation.digits.corpus import DigitCorpus
from maskmm.evaluation.digits.samples import Samples
from maskmm.evaluation.scores import Score
from maskmm.pipeline import Pipeline
from tokenizers_vq.contract import Codes, TokenSpec


def reconstruction_scores(samples: Samples, seed: int) -> list[Score]:
    """Reconstructions judged as their originals, and the judges' scores on real and on reconstructed media."""
    rows = []
    for modality, real, rebuilt in (
        ("image", samples.real_images, samples.image_reconstructions),
        ("speech", samples.real_clips, samples.speech_reconstructions),
    ):
        is_same = rebuilt.verdicts == real.verdicts
        own = Score.of_share(f"judge: SVM on held-out {modality}", real.is_right, seeds=(seed,))
        through = Score.of_share(
            f"judge: SVM on {modality} reconstructions", rebuilt.is_right, ceiling=own.value, seeds=(seed,)
        )
        rows += [
            Score.of_share(
                f"{modality} reconstruction judged as the original", is_same, floor=0.95, seeds=(seed,)
            ),
            own,
            through,
        ]
    return rows


def usage_score(
    pipeline: Pipeline,
    corpus: DigitCorpus,
    modality: Literal["image", "speech"],
    seed: int,
    floor: float | None,
) -> Score:
    """Share of the codes that training and validation media use."""
    media: Any
    if modality == "image":
        media = torch.cat([corpus.images(split).images for split in ("train", "val")])
    else:
        media = [waveform for split in ("train", "val") for waveform in corpus.speech(split).waveforms]
    spec = pipeline.tokenizers[modality].spec
    count = spec.codebook_size * spec.num_codebooks
    used = codes_used(pipeline.encode({modality: media})[modality], spec)
    note = (
        f"of {spec.num_codebooks} x {spec.codebook_size} codes, on {len(media)} training and validation items"
    )
    return Score(f"{modality} codebook used", used / count, count, floor=floor, seeds=(seed,), note=note)


def codes_used(codes: Codes, spec: TokenSpec) -> int:
    """Different (codebook, code) pairs among codes (B, *grid, Q) or a list of (*shape, Q)."""
    flat = torch.cat([part.reshape(-1, spec.num_codebooks) for part in codes])
    return sum(len(flat[:, q].unique()) for q in range(spec.num_codebooks))
