"""Encoder on visible rows and decoder on all, one sample at a time, from the pair-by-pair blocks."""

from __future__ import annotations

import torch
from torch import Tensor

from maskmm.model import MaskedTransformer
from maskmm.sequence import TokenSequence
from tests.reference.naive_encoder import norm, through_blocks
from tests.reference.naive_positions import convolved


def naive_left_out(model: MaskedTransformer, sequence: TokenSequence, is_encoded: Tensor) -> Tensor:
    """(N, D) features for the head."""
    embedded = model.embedding(sequence)  # has a naive twin of its own
    samples = []
    for sample in range(sequence.num_samples):
        rows = list(range(int(sequence.cu_seqlens[sample]), int(sequence.cu_seqlens[sample + 1])))
        if rows:
            samples.append(_sample(model, sequence, embedded[rows], rows, is_encoded[rows].tolist()))
    return torch.cat(samples)


def _sample(
    model: MaskedTransformer, sequence: TokenSequence, x: Tensor, rows: list[int], is_seen: list[bool]
) -> Tensor:
    seen = [i for i in range(len(rows)) if is_seen[i]]
    first = x
    if model.config.positions.conv_kernel is not None:
        holes = torch.stack([row if shown else torch.zeros_like(row) for row, shown in zip(x, is_seen)])
        first = first + convolved(model, holes)
    if model.config.norm.has_embedding_norm:
        first, x = norm(model, "embedding_norm", first), norm(model, "embedding_norm", x)
    decoder = model.decoder
    assert decoder is not None
    whole = [decoder.enter_left_out(row) for row in x]
    if seen:
        encoded = through_blocks(model, sequence, first[seen], [rows[i] for i in seen])[-1]
        for i, row in zip(seen, encoded):
            whole[i] = decoder.enter_encoded(row)
    return decoder.leave(through_blocks(decoder, sequence, torch.stack(whole), rows)[-1])
