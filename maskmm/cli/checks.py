"""What `maskmm doctor` looks at: each check is one line of its table."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from maskmm.pipeline import Pipeline
from tokenizers_vq.contract import Key, Tokenizer, TokenSpec
from tokenizers_vq.contract.motion import Motion

NUM_SAMPLES = 16
_LONGEST = 64  # tokens along time: whole minutes of sound would take a large codec as long
_LENGTH = 8  # tokens of a sample where the model cannot say


@dataclass(frozen=True)
class Finding:
    """One line of the table.

    Attributes:
        name: what was looked at.
        is_ok: False makes the verb fail.
        detail: numbers, or what is wrong and how to mend it.
    """

    name: str
    is_ok: bool
    detail: str


def check_fingerprint(name: str, tokenizer: Tokenizer, expected: str) -> Finding:
    """Is it the tokenizer that made the codes?"""
    found = tokenizer.fingerprint()
    if found == expected:
        return Finding(f"{name} fingerprint", True, found[:16])
    detail = (
        f"the tokenizer has {found}, the codes were made with {expected}; make them again with this tokenizer"
    )
    return Finding(f"{name} fingerprint", False, detail)


def check_round_trip(name: str, tokenizer: Tokenizer, codes: list[Tensor], is_real: bool) -> Finding:
    """Codes -> media -> codes -> media, sample by sample.

    Args:
        name: modality.
        tokenizer: of it.
        codes: (*shape, Q) each.
        is_real: codes of real media, which must be readable again; generated ones need not be (a word piece may
            stand alone, say).
    """
    if not tokenizer.has_encoder or not tokenizer.has_decoder:
        lacking = "decoder" if tokenizer.has_encoder else "encoder"
        return Finding(f"{name} round trip", True, f"none: {type(tokenizer).__name__} has no {lacking}")
    kept, errors, unreadable = [], [], []
    for sample in codes:
        try:
            media = tokenizer.decode([sample])
            again = tokenizer.encode(media)[0]
        except ValueError as error:
            unreadable.append(str(error))
            continue
        kept.append(again.shape == sample.shape and float((again.cpu() == sample).float().mean()))
        errors.append(_distance(media[0], tokenizer.decode([again])[0]))
    parts = [f"{len(kept)} of {len(codes)} samples readable again"]
    if kept:
        parts.append(f"codes kept {sum(kept) / len(kept):.3f}")
        parts.append(f"media error {sum(errors) / len(errors):.4f}")
    if unreadable:
        parts.append(f"first error: {unreadable[0]}")
    is_finite = all(error == error for error in errors)
    return Finding(f"{name} round trip", is_finite and not (is_real and unreadable), ", ".join(parts))


def check_reconstruction(tokenizer: Tokenizer, media: Any, lengths: Tensor | None) -> Finding:
    """Media -> codes -> media, as a tokenizer's training will see them; says how far apart they are."""
    decoded = tokenizer.decode(tokenizer.encode(media, lengths))
    distances = [_distance(a, b) for a, b in zip(media, decoded)]
    mean = sum(distances) / len(distances)
    return Finding(
        "round trip", mean == mean, f"{len(distances)} samples, media error {mean:.4f} (untrained weights)"
    )


def check_generation(pipeline: Pipeline, seed: int = 0) -> tuple[list[Finding], dict[str, list[Tensor]]]:
    """Samples of every modality from nothing, in two steps, and their codes.

    Modalities that a model only reads have none; texts of models without length labels are given a length.
    """
    findings, codes = [], {}
    for name, tokenizer in pipeline.tokenizers.items():
        spec = tokenizer.spec
        if not spec.has_codes or not tokenizer.has_decoder:
            lacking = "decoder" if spec.has_codes else "codes"
            detail = f"none: {type(tokenizer).__name__} has no {lacking}"
            findings.append(Finding(f"{name} generation", True, detail))
            continue
        has_lengths = spec.max_length is None or f"{name}.length" in pipeline.vocabulary.names
        lengths = None if has_lengths else {name: min(_LENGTH, spec.max_length or 1)}
        out = pipeline.generate(
            {}, [name], num_samples=NUM_SAMPLES, num_steps=2, guidance_scale=1.0, seed=seed, lengths=lengths
        )
        codes[name] = list(out.codes[name])
        different = len({tuple(sample.flatten().tolist()) for sample in codes[name]})
        findings.append(
            Finding(f"{name} generation", True, f"{different} different of {NUM_SAMPLES} samples")
        )
    return findings, codes


def random_codes(tokenizer: Tokenizer, seed: int = 0) -> list[Tensor]:
    """Codes (*shape, Q) of samples with no meaning, as long as the tokenizer takes, up to 64 tokens along time."""
    spec, length = tokenizer.spec, None
    if spec.max_length is not None:
        length = min(spec.max_length, _LONGEST) if spec.axes[0] == "t" else spec.max_length
        if tokenizer.media == "text":
            # Pieces that stand where they cannot are several when they are read again.
            length = max(1, length // 4)
    shape = (*spec.shape(length), spec.num_codebooks)
    index = torch.arange(NUM_SAMPLES * math.prod(shape))
    codes = Key(seed).fold("doctor").integers(spec.codebook_size, index)
    return list(codes.reshape(NUM_SAMPLES, *shape))


def describe_spec(spec: TokenSpec) -> str:
    """A spec in a few words."""
    axes = " x ".join(f"{a} {g or f'up to {spec.max_length}'}" for a, g in zip(spec.axes, spec.grid or ()))
    return f"{spec.num_codebooks} x {spec.codebook_size} codes on {axes or 'one label'}"


def tokenizer_findings(tokenizers: Mapping[str, Tokenizer]) -> list[Finding]:
    """What the tokenizers are."""
    return [
        Finding(f"{name} tokenizer", True, f"{type(tokenizer).__name__}, {describe_spec(tokenizer.spec)}")
        for name, tokenizer in tokenizers.items()
    ]


def _distance(a: Any, b: Any) -> float:
    """Mean absolute difference of tensors (the shorter one's length); of other media, 0 where they are equal.

    That of motions is of their joints' positions, in metres.
    """
    if isinstance(a, Motion) and isinstance(b, Motion):
        a, b = a.positions.movedim(0, -1), b.positions.movedim(0, -1)
    if not isinstance(a, Tensor):
        return float(a != b)
    length = min(a.shape[-1], b.shape[-1])
    return float((a[..., :length].cpu() - b[..., :length].cpu()).abs().mean())
