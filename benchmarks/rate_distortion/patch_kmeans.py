"""The plain codebook of patches: k-means (Lloyd, 1982; k-means++ start, Arthur and Vassilvitskii, 2007)."""

from __future__ import annotations

import torch
from einops import rearrange
from sklearn.cluster import KMeans
from torch import Tensor

from tokenizers_vq.quantizers import nearest_code

ITERATIONS = 30


class PatchKMeans:
    """Pictures (B, C, H, W) -> codes of their patches -> pictures.

    Args:
        images: (n, C, H, W) float, whose patches the codebook is learned from.
        patch_size: pixels of a side.
        num_codes: at most as many as there are patches.
        seed: of the start.
        num_iterations: of Lloyd.

    Raises:
        ValueError: fewer patches than codes.
    """

    def __init__(
        self, images: Tensor, patch_size: int, num_codes: int, seed: int, num_iterations: int = ITERATIONS
    ) -> None:
        self.patch_size = patch_size
        rows_ND = self._patches(images).flatten(0, 2)
        if len(rows_ND) < num_codes:
            raise ValueError(f"{len(rows_ND)} patches, expected at least num_codes={num_codes}")
        learned = KMeans(num_codes, n_init=1, max_iter=num_iterations, random_state=seed).fit(rows_ND.numpy())
        self.codebook_KD = torch.from_numpy(learned.cluster_centers_).float()

    def encode(self, images: Tensor) -> Tensor:
        """(B, Y, X) int64."""
        patches_BYXD = self._patches(images)
        codes_N = nearest_code(patches_BYXD.flatten(0, 2), self.codebook_KD)
        return codes_N.view(patches_BYXD.shape[:3])

    def decode(self, codes: Tensor) -> Tensor:
        """(B, C, H, W) float32 in [0, 1] of codes (B, Y, X)."""
        size = self.patch_size
        images = rearrange(self.codebook_KD[codes], "b y x (c i j) -> b c (y i) (x j)", i=size, j=size)
        return images.clamp(0, 1)

    def _patches(self, images: Tensor) -> Tensor:
        size = self.patch_size
        return rearrange(images, "b c (y i) (x j) -> b y x (c i j)", i=size, j=size)
