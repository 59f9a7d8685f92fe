"""Video in MP4 files without loss: what is read is what was written, to 8 bits."""

from __future__ import annotations

import io
from fractions import Fraction

import av
import numpy as np
import torch
from torch import Tensor

_RATE_TOLERANCE = 1e-3
_GREY = "grey"  # H.264 in RGB has no grey of its own


def encode_video(video: Tensor, rate: float) -> bytes:
    """MP4 (H.264, RGB, lossless) of a video; a comment in the file says where it is grey.

    Args:
        video: (T, 3, H, W) or grey (T, 1, H, W) float in [0, 1]; rounded to 8 bits.
        rate: frames a second.

    Raises:
        ValueError: another shape, or a rate that is not positive.
    """
    if video.ndim != 4 or video.shape[1] not in (1, 3) or 0 in video.shape:
        raise ValueError(f"video of shape {tuple(video.shape)}, expected (T, 3, H, W) or (T, 1, H, W)")
    if not rate > 0.0:
        raise ValueError(f"rate={rate} frames a second, expected a positive number")
    levels = (video.detach().cpu().float() * 255.0).round().to(torch.uint8).expand(-1, 3, -1, -1)
    frames = levels.permute(0, 2, 3, 1).contiguous().numpy()
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        if video.shape[1] == 1:
            container.metadata["comment"] = _GREY
        # One thread: with more, the bytes could depend on the machine.
        stream = container.add_stream(
            "libx264rgb",
            rate=Fraction(rate).limit_denominator(1001),
            options={"qp": "0", "preset": "veryfast", "threads": "1"},
        )
        stream.height, stream.width = video.shape[2:]
        stream.pix_fmt = "rgb24"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return buffer.getvalue()


def decode_video(data: bytes, rate: float, name: str = "video", is_resampled: bool = False) -> Tensor:
    """Video of an MP4 (or any other file that FFmpeg reads).

    Args:
        data: the file's content.
        rate: frames a second of the result, and of the file unless `is_resampled`.
        name: says in errors which file it was.
        is_resampled: drop or repeat frames of a file with another rate (the nearest in time), instead of refusing it.

    Returns:
        (T, 3, H, W), or (T, 1, H, W) of a file that says it is grey; float32 in [0, 1].

    Raises:
        ValueError: not readable, no frame, or another rate.
    """
    try:
        with av.open(io.BytesIO(data), "r") as container:
            if not container.streams.video:
                raise ValueError(f"{name} holds no video")
            stream = container.streams.video[0]
            found = float(stream.average_rate or 0)
            is_grey = container.metadata.get("comment") == _GREY
            frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
    except (av.FFmpegError, IndexError) as error:
        raise ValueError(f"{name} is no readable video ({error}); expected an MP4 file") from error
    if not frames:
        raise ValueError(f"{name} is empty: expected at least one frame")
    if abs(found - rate) > _RATE_TOLERANCE * rate:
        if not is_resampled or found == 0.0:
            raise ValueError(
                f"{name} has {found:g} frames a second, expected {rate:g}; resample the file first, or ask for it "
                "(--resample)"
            )
        frames = [frames[index] for index in _nearest(len(frames), found / rate)]
    levels = torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2)
    return (levels[:, :1] if is_grey else levels).float().div_(255.0)


def _nearest(num_frames: int, step: float) -> list[int]:
    """Indices of the frames nearest in time to 0, `step`, 2 `step`, ... frames, up to the video's end."""
    count = max(1, round(num_frames / step))
    return [min(num_frames - 1, round(index * step)) for index in range(count)]
