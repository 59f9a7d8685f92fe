"""Embeddings that start from a tokenizer's code vectors, so that similar codes begin as similar.

Codec-ASR starts its embeddings from the codec's codebooks, VideoBERT from cluster centroids. With the few thousand
images of the digits corpus, reading them is learned in hundreds of steps this way, and not at all without it.
"""

from __future__ import annotations

import torch
from torch import Tensor


@torch.no_grad()
def start_from_code_vectors(
    weight_VD: Tensor, vectors_QKC: Tensor, ids: list[slice], std: float, seed: int
) -> None:
    """Write a random projection of the code vectors into rows of an embedding table, in place.

    All codebooks share one projection, so that a direction means the same at every residual level; each level is
    scaled to the same size. A third of the table's own random start stays, so that codes with equal vectors can part.

    Args:
        weight_VD: (V, D) embedding table.
        vectors_QKC: (Q, K, C) vectors of each codebook.
        ids: rows of each codebook.
        std: standard deviation of the written values.
        seed: of the projection.

    Raises:
        ValueError: vectors of another number of codebooks or codes than the rows, or not finite.
    """
    sizes = [s.stop - s.start for s in ids]
    if sizes != [vectors_QKC.shape[1]] * vectors_QKC.shape[0]:
        raise ValueError(f"code vectors of shape {tuple(vectors_QKC.shape)} for codebooks of sizes {sizes}")
    if not bool(torch.isfinite(vectors_QKC).all()):
        raise ValueError("code vectors hold NaN or infinite values; is the tokenizer trained?")
    generator = torch.Generator().manual_seed(seed)
    channels = vectors_QKC.shape[2]
    projection_CD = torch.randn(channels, weight_VD.shape[1], generator=generator) / channels**0.5
    for rows, vectors_KC in zip(ids, vectors_QKC.float().cpu()):
        centred_KC = vectors_KC - vectors_KC.mean(dim=0)
        scaled_KC = centred_KC / centred_KC.std().clamp(min=1e-6)
        start_KD = (scaled_KC @ projection_CD) * std + weight_VD[rows].cpu() / 3
        weight_VD[rows] = start_KD.to(weight_VD)
