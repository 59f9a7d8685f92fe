"""Rows of what a user would take in place of an image tokenizer, at its rate."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from itertools import product
from typing import Any, NamedTuple

from benchmarks.rate_distortion.budget import Budget
from benchmarks.rate_distortion.patch_kmeans import ITERATIONS, PatchKMeans
from benchmarks.rate_distortion.picture_codecs import PictureCodec, at_bits
from benchmarks.rate_distortion.stills import Stills

_CODECS = (PictureCodec("JPEG"), PictureCodec("WEBP"))
_SHRINKS = (1, 2, 4)


class Rate(NamedTuple):
    """What a tokenizer emits.

    Attributes:
        patch_size: pixels of a side of a token; None where a token stands for no place.
        tokens: a picture.
        codes: of the codebook.
    """

    patch_size: int | None
    tokens: int
    codes: int

    @property
    def bits(self) -> float:
        """Of a picture, all codes alike."""
        return self.tokens * math.log2(self.codes)

    @property
    def patch_case(self) -> str:
        """Name of the row of patches at this rate."""
        return f"k-means of {self.patch_size} x {self.patch_size} patches"

    def columns(self) -> dict[str, Any]:
        """Tokens, codes and bits."""
        return {"tokens": self.tokens, "codes": self.codes, "bits": self.bits}


def patch_row(stills: Stills, rate: Rate, budget: Budget) -> dict[str, Any]:
    """A k-means codebook of patches, as many tokens and codes."""
    assert rate.patch_size is not None
    start = time.process_time()
    iterations = 1 if budget.is_quick else ITERATIONS
    peer = PatchKMeans(stills.train, rate.patch_size, rate.codes, budget.seed, iterations)
    spent = time.process_time() - start
    codes = peer.encode(stills.held_out)
    return (
        {"case": rate.patch_case, "is_ours": False}
        | rate.columns()
        | {"usage": round(codes.unique().numel() / rate.codes, 3), "train_cpu_s": round(spent, 1)}
        | stills.score(peer.decode(codes))
    )


def codec_rows(stills: Stills, bits: float, budget: Budget) -> Iterator[dict[str, Any]]:
    """JPEG and WebP, headers counted and left out; also of a smaller picture where that is nearer in bits."""
    asked = [codec for codec in _CODECS if not budget.only or any(codec.name in text for text in budget.only)]
    for codec, has_header in product(asked, (True, False)):
        found = {
            shrink: at_bits(codec, stills.held_out, math.ceil(bits), has_header, shrink)
            for shrink in _SHRINKS
        }
        nearest = min(_SHRINKS, key=lambda shrink: abs(found[shrink][1] - bits))
        for shrink in dict.fromkeys((1, nearest)):
            decoded, spent = found[shrink]
            size = "" if shrink == 1 else f" of 1/{shrink} the size"
            name = f"{codec.name}{size}, headers {'counted' if has_header else 'left out'}"
            if budget.wants(name):
                yield {"case": name, "is_ours": False, "bits": round(spent, 1)} | stills.score(decoded)
