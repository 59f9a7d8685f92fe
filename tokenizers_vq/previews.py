"""Previews of reconstructions in TensorBoard."""

from __future__ import annotations

import io
from typing import Any

from einops import rearrange
from PIL import Image
from tensorboard.compat.proto.summary_pb2 import Summary
from torch import Tensor

from tokenizers_vq.trainable import Preview


def show(writer: Any, preview: Preview, prefix: str, step: int) -> None:
    """Write pictures, sounds and animations.

    Args:
        writer: torch's SummaryWriter.
        preview: what to show.
        prefix: of the names, e.g. "val".
        step: training step.
    """
    for name, picture in preview.pictures.items():
        writer.add_image(f"{prefix}/{name}", picture, step)
    for name, sound in preview.sounds.items():
        writer.add_audio(f"{prefix}/{name}", sound, step, sample_rate=preview.rate)
    for name, frames in preview.animations.items():
        _, channels, height, width = frames.shape
        picture = Summary.Image(
            height=height,
            width=width,
            colorspace=channels,
            encoded_image_string=gif(frames, preview.frames_per_second),
        )
        value = Summary.Value(tag=f"{prefix}/{name}", image=picture)
        # SummaryWriter.add_video wants moviepy, for the same animated picture.
        writer.file_writer.add_summary(Summary(value=[value]), step)


def gif(frames_TCHW: Tensor, frames_per_second: float) -> bytes:
    """An animated GIF, which repeats, of frames (T, C, H, W) float in [0, 1], C 1 or 3."""
    bytes_THWC = rearrange((frames_TCHW.clamp(0, 1) * 255).round().byte().cpu(), "t c h w -> t h w c").numpy()
    first, *rest = [Image.fromarray(frame[..., 0] if frame.shape[-1] == 1 else frame) for frame in bytes_THWC]
    file = io.BytesIO()
    first.save(
        file,
        format="GIF",
        save_all=True,
        append_images=rest,
        duration=round(1000 / frames_per_second),
        loop=0,
    )
    return file.getvalue()
