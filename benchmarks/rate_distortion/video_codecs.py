"""H.264 and H.265 at a given number of bits a clip, parameter sets and the encoder's signature left out or counted."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import av
import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

_START = b"\x00\x00\x01"
_QUANTIZERS = range(51, -1, -1)  # of both, the coarsest first


@dataclass(frozen=True)
class VideoCodec:
    """An encoder of ffmpeg at its slowest common preset, one group of pictures a clip, 4:2:0.

    Attributes:
        name: of rows.
        encoder, decoder: ffmpeg's names.
        options: of the encoder.
        type_shift, type_mask: where the first byte of a unit says its type.
        header_types: units that are no pictures: parameter sets, the encoder's signature, delimiters.
    """

    name: str
    encoder: str
    decoder: str
    options: tuple[tuple[str, str], ...]
    type_shift: int
    type_mask: int
    header_types: frozenset[int]

    def encode(self, frames: np.ndarray, quantizer: int) -> bytes:
        """The stream of frames (T, H, W, 3) uint8; quantizer 0 (fine) to 51."""
        context: Any = av.CodecContext.create(self.encoder, "w")
        context.height, context.width = frames.shape[1:3]
        context.pix_fmt, context.framerate, context.thread_count = "yuv420p", 25, 1
        context.options = {"preset": "veryslow", "qp": str(quantizer)} | dict(self.options)
        packets = [packet for frame in _pictures(frames) for packet in context.encode(frame)]
        return b"".join(bytes(packet) for packet in packets + context.encode(None))

    def decode(self, stream: bytes) -> np.ndarray:
        """Frames (T, H, W, 3) uint8."""
        context: Any = av.CodecContext.create(self.decoder, "r")
        packets = [*context.parse(stream), *context.parse(b""), None]
        decoded = [frame for packet in packets for frame in context.decode(packet)]
        return np.stack([frame.to_ndarray(format="rgb24") for frame in decoded])

    def picture_bits(self, stream: bytes) -> int:
        """Bits of a stream's pictures: without start codes and units of other types."""
        units = [unit.rstrip(b"\x00") for unit in stream.split(_START)[1:]]
        types = [unit[0] >> self.type_shift & self.type_mask for unit in units]
        return sum(8 * len(unit) for unit, kind in zip(units, types) if kind not in self.header_types)


_QUIET = (("x265-params", "log-level=none:pools=none:frame-threads=1:info=0"),)
CODECS = (
    VideoCodec("H.264", "libx264", "h264", (), 0, 0x1F, frozenset({6, 7, 8, 9})),
    VideoCodec("H.265", "libx265", "hevc", _QUIET, 1, 0x3F, frozenset(range(32, 41))),
)


@dataclass(frozen=True)
class Coded:
    """Clips after a codec.

    Attributes:
        clips: (N, T, 3, H, W) float in [0, 1].
        bits: mean over the clips, of pictures alone.
        stream_bits: mean over the clips, of whole streams.
    """

    clips: Tensor
    bits: float
    stream_bits: float


def at_bits(codec: VideoCodec, clips: Tensor, bits: int, shrink: int = 1) -> Coded:
    """Each clip at its coarsest quantizer whose pictures have at least `bits`.

    Where the coarsest of all has more, or the finest less, that is taken.

    Args:
        codec: of the streams.
        clips: (N, T, 3, H, W) float in [0, 1].
        bits: of each clip.
        shrink: pixels of a side that are averaged before, and made again (bicubic) after, as one does at rates that are
            too low for the whole size.
    """
    small = avg_pool2d(clips.flatten(0, 1), shrink).unflatten(0, clips.shape[:2])
    levels = small.mul(255).round().byte().permute(0, 1, 3, 4, 2).numpy()
    streams = [_just_above(codec, frames, bits) for frames in levels]
    decoded = torch.from_numpy(np.concatenate([codec.decode(stream) for stream in streams]))
    frames = decoded.permute(0, 3, 1, 2).float() / 255
    large = interpolate(frames, clips.shape[-2:], mode="bicubic") if shrink > 1 else frames
    return Coded(
        large.clamp(0, 1).reshape(clips.shape),
        sum(map(codec.picture_bits, streams)) / len(streams),
        8 * sum(map(len, streams)) / len(streams),
    )


def _just_above(codec: VideoCodec, frames: np.ndarray, bits: int) -> bytes:
    """Bisection: sizes fall as the quantizer grows, but for a few bytes."""

    def spent(quantizer: int) -> int:
        return codec.picture_bits(codec.encode(frames, quantizer))

    # Not the finest, which is taken where no other has enough.
    index = bisect_left(_QUANTIZERS[:-1], bits, key=spent)
    return codec.encode(frames, _QUANTIZERS[index])


def _pictures(frames: np.ndarray) -> Iterator[av.VideoFrame]:
    for number, pixels in enumerate(frames):
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
        picture.pts = number
        yield picture
