"""Residual k-means on patches of poses: what a user has without any training by gradient."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from tokenizers_vq.contract import Key
from tokenizers_vq.contract.motion import Motion
from tokenizers_vq.motion import MotionRVQ
from tokenizers_vq.quantizers import nearest_code
from tokenizers_vq.quantizers.kmeans import kmeans


class PosePatchKMeans:
    """As many tokens, levels and codes as a motion tokenizer, on patches of the same normalised features.

    Args:
        tokenizer: whose features, normalisation and spec are used.
        poses: (B, T, 3 + 4 J) to learn from.
        seed: of the start.
    """

    def __init__(self, tokenizer: MotionRVQ, poses: Tensor, seed: int) -> None:
        self._tokenizer = tokenizer
        rest = self._patches(poses)
        self._books: list[Tensor] = []
        for level in range(tokenizer.spec.num_codebooks):
            key = Key(seed).fold("pose patches").at(level)
            book = kmeans(rest, torch.ones(len(rest)), tokenizer.spec.codebook_size, key)
            rest = rest - book[nearest_code(rest, book)]
            self._books.append(book)

    def decoded(self, motions: Sequence[Motion], num_levels: int) -> list[Motion]:
        """Motions by the first levels, each 4 poses for each token."""
        tokenizer = self._tokenizer
        patch, width = int(tokenizer.spec.stride[0]), tokenizer.features.width
        return [
            tokenizer.features.media(
                tokenizer.normaliser.inverse(
                    self._coded(motion, num_levels).view(-1, patch, width).flatten(0, 1)
                )
            )
            for motion in motions
        ]

    def _coded(self, motion: Motion, num_levels: int) -> Tensor:
        rest = rows = self._patches(motion.poses[None])
        for book in self._books[:num_levels]:
            rest = rest - book[nearest_code(rest, book)]
        return rows - rest

    def _patches(self, poses: Tensor) -> Tensor:
        """(n, 4 x width): the last pose is held up to the end of the last patch, as the tokenizer does."""
        patch = int(self._tokenizer.spec.stride[0])
        features, _ = self._tokenizer.features.of_media(poses, None, patch, poses.shape[1], patch)
        return self._tokenizer.normaliser(features).unflatten(1, (-1, patch)).flatten(2).flatten(0, 1)
