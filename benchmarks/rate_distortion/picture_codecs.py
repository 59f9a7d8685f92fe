"""JPEG and WebP at a given number of bits a picture, with and without the bytes that are the same in every file."""

from __future__ import annotations

import io
from bisect import bisect_left
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

_WEBP_HEADER = 12 + 8 + 3 + 3 + 4  # RIFF and chunk; key frame's tag, start code, size (RFC 6386, RFC 9649)
_QUALITIES = range(1, 101)


@dataclass(frozen=True)
class PictureCodec:
    """A format of Pillow, at its densest plain settings.

    Attributes:
        name: JPEG or WEBP.
    """

    name: str

    def encode(self, image: Image.Image, quality: int) -> bytes:
        """A file's bytes; quality 1 to 100."""
        options: dict[str, Any] = {"method": 6} if self.name == "WEBP" else {"subsampling": "4:2:0"}
        file = io.BytesIO()
        image.save(file, self.name, quality=quality, **options)
        return file.getvalue()

    def header_bytes(self, data: bytes) -> int:
        """Bytes before the picture's own: tables and sizes, alike in all files of one size and quality."""
        if self.name == "WEBP":
            return _WEBP_HEADER
        start_of_scan = data.index(b"\xff\xda")
        length = int.from_bytes(data[start_of_scan + 2 : start_of_scan + 4], "big")
        return start_of_scan + 2 + length + 2  # and the end marker

    def num_bits(self, data: bytes, has_header: bool) -> int:
        """Bits of a file, or of what it has after its header."""
        return 8 * (len(data) - (0 if has_header else self.header_bytes(data)))


def at_bits(
    codec: PictureCodec, images: Tensor, bits: int, has_header: bool, shrink: int = 1
) -> tuple[Tensor, float]:
    """Decoded pictures, each at its lowest quality that has at least `bits`, and their mean number of bits.

    Where the lowest quality has more, that is taken: the codec is then given more bits than were asked for. Where the
    highest has less, it is taken too.

    Args:
        codec: of the files.
        images: (B, 3, H, W) float in [0, 1].
        bits: of each picture.
        has_header: whether a file's header counts.
        shrink: pixels of a side that are averaged before, and made again (bicubic) after; a small picture of good
            quality may be better than a large one of poor quality.
    """
    decoded, spent = [], []
    for pixels in images.mul(255).round().byte().permute(0, 2, 3, 1).numpy():
        whole = Image.fromarray(pixels)
        data = _just_above(codec, whole.reduce(shrink), bits, has_header)
        spent.append(codec.num_bits(data, has_header))
        with Image.open(io.BytesIO(data)) as picture:
            large = picture.convert("RGB").resize(whole.size, Image.Resampling.BICUBIC)
            decoded.append(torch.from_numpy(np.array(large)))
    return torch.stack(decoded).permute(0, 3, 1, 2).float() / 255, sum(spent) / len(spent)


def _just_above(codec: PictureCodec, image: Image.Image, bits: int, has_header: bool) -> bytes:
    """Bisection: sizes grow with quality but for a few bytes."""

    def spent(quality: int) -> int:
        return codec.num_bits(codec.encode(image, quality), has_header)

    # Not the highest, which is taken where no other has enough.
    index = bisect_left(_QUALITIES[:-1], bits, key=spent)
    return codec.encode(image, _QUALITIES[index])
