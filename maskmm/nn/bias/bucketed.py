"""Learned biases of bucketed distances (Raffel et al., T5, 2020)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from maskmm.nn.bias.base import differences
from maskmm.nn.bias.indexed import IndexedBias
from maskmm.nn.config import PositionSource
from maskmm.nn.coordinates import coordinates
from maskmm.sequence import TokenSequence


class BucketedBias(IndexedBias):
    """One learned value for each bucket of signed distances, axis and head; those of several axes are summed.

    Args:
        num_heads: H.
        num_axes: A.
        num_buckets: half of them for keys after the query; a quarter hold one distance each, the rest grow.
        max_distance: distances from here on share the last bucket.
        source: what distances are counted in.
    """

    def __init__(
        self, num_heads: int, num_axes: int, num_buckets: int, max_distance: int, source: PositionSource
    ) -> None:
        super().__init__()
        self.numbers, self.source = (num_buckets, max_distance), source
        self.table = nn.Embedding(max(num_axes, 1) * num_buckets, num_heads)

    def place(self, sequence: TokenSequence) -> Tensor:
        """(N, A) coordinates."""
        return coordinates(sequence, self.source)

    def values_table(self) -> Tensor:
        """(A buckets, H)."""
        return self.table.weight

    @classmethod
    def index(cls, place_q: Tensor, place_k: Tensor, numbers: Sequence[int]) -> Tensor:
        """See `IndexedBias.index`."""
        num_buckets, max_distance = numbers
        first_A = torch.arange(place_q.shape[-1], device=place_q.device) * num_buckets
        return bucket_of(differences(place_q, place_k), num_buckets, max_distance) + first_A


def bucket_of(distance: Tensor, num_buckets: int, max_distance: int) -> Tensor:
    """Buckets of signed distances (key minus query), int64 of the same shape."""
    half = num_buckets // 2
    exact = half // 2
    size = distance.abs()
    grown = torch.log(size.clamp(min=1).float() / exact) / math.log(max_distance / exact) * (half - exact)
    large = (exact + grown.long()).clamp(max=half - 1)
    return (distance > 0).long() * half + torch.where(size < exact, size, large)
