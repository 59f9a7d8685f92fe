"""Hypothesis strategies: random modality sets, and random batches of them."""

from __future__ import annotations

from dataclasses import replace

import torch
from hypothesis import settings
from hypothesis import strategies as st

from maskmm.vocabulary import Vocabulary
from tokenizers_vq.contract import Modality, TokenBatch, TokenSpec

QUICK = settings(max_examples=60, deadline=None, derandomize=True)
"""Same examples in every run, and no clock."""

AXES = ("t", "y", "x", "joint")


@st.composite
def specs(draw: st.DrawFn) -> TokenSpec:
    """Any geometry from a label to three axes, at most one of them varying."""
    axes = draw(st.lists(st.sampled_from(AXES), max_size=3, unique=True))
    grid: list[int | None] = [draw(st.integers(1, 3)) for _ in axes]
    max_length = None
    is_varying = draw(st.booleans())
    if axes and is_varying:
        grid[draw(st.integers(0, len(axes) - 1))] = None
        max_length = 4
    codebook_size, num_codebooks = draw(st.integers(1, 9)), draw(st.integers(1, 3))
    return TokenSpec(codebook_size, num_codebooks, tuple(axes), tuple(grid), max_length)


@st.composite
def modality_sets(draw: st.DrawFn) -> list[Modality]:
    """One to four modalities."""
    return [Modality(f"m{i}", draw(specs())) for i in range(draw(st.integers(1, 4)))]


@st.composite
def vocabularies(draw: st.DrawFn) -> Vocabulary:
    """A vocabulary of a random modality set; sometimes a modality lends its [SEP], or samples have no [CLS]."""
    modalities = draw(modality_sets())
    lenders = [m.name for m in modalities if m.spec.num_codebooks == 1]
    aliases = {"[SEP]": (draw(st.sampled_from(lenders)), 0)} if lenders and draw(st.booleans()) else {}
    return Vocabulary(modalities, draw(st.integers(1, 4)), aliases, has_cls=draw(st.booleans()))


@st.composite
def batches(draw: st.DrawFn, modalities: tuple[Modality, ...], with_extras: bool | None = None) -> TokenBatch:
    """Samples with any segments of any modalities in any order; some samples are empty.

    `with_extras` True or False gives every modality continuous inputs, condition codes and groups, or none.
    """
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    samples = []
    for _ in range(draw(st.integers(0, 4))):
        chosen = draw(st.lists(st.sampled_from(modalities), max_size=3, unique_by=lambda m: m.name))
        sample = {}
        for m in chosen:
            repeats = draw(st.integers(1, 2))
            sample[m.name] = [_codes(m.spec, draw(st.integers(1, 4)), generator) for _ in range(repeats)]
        samples.append(sample)
    sample_id = torch.randint(0, 1000, (len(samples),), generator=generator)
    batch = TokenBatch.from_samples(samples, list(modalities), sample_id)
    return _with_extras(batch, list(modalities), generator, draw, with_extras)


def _codes(spec: TokenSpec, length: int, generator: torch.Generator) -> torch.Tensor:
    shape = (*spec.shape(length), spec.num_codebooks)
    return torch.randint(0, spec.codebook_size, shape, generator=generator)


def _with_extras(
    batch: TokenBatch,
    modalities: list[Modality],
    generator: torch.Generator,
    draw: st.DrawFn,
    with_extras: bool | None,
) -> TokenBatch:
    inputs, condition, group = {}, {}, {}
    for m in modalities:
        rows = batch.codes[m.name].shape[0]
        wanted = [draw(st.booleans()) if with_extras is None else with_extras for _ in range(3)]
        if wanted[0]:
            inputs[m.name] = torch.rand(rows, 3, generator=generator)
        if wanted[1]:
            shape = (rows, m.spec.num_codebooks)
            condition[m.name] = torch.randint(0, m.spec.codebook_size, shape, generator=generator)
        if wanted[2]:
            group[m.name] = torch.randint(0, 5, (rows,), generator=generator)
    return replace(batch, inputs=inputs, condition_codes=condition, group=group)
