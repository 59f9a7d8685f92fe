"""Media in files, never resampled or repaired in silence: PNG, WAV and TXT here, video and motion beside."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor
from torchaudio.functional import resample

from datamodules.motion_files import decode_motion, encode_motion
from datamodules.video_files import decode_video, encode_video

SUFFIXES = {"image": ".png", "audio": ".wav", "text": ".txt", "video": ".mp4", "motion": ".safetensors"}
"""File suffix of each kind of media."""

_MOST_OVERSHOOT = 1.5
"""Resampling and lossy formats overshoot full scale a little, which is clipped; more is another scale."""

_UNKNOWN_SIZE = 0xFFFFFFFF
"""What programs that write WAV into a pipe put for its size."""


def encode_png(image: Tensor) -> bytes:
    """PNG of an image.

    Args:
        image: (1, H, W) grey or (3, H, W) RGB, float in [0, 1]; rounded to 8 bits.

    Raises:
        ValueError: another shape, an integer dtype, NaN, or values outside [0, 1].
    """
    if image.ndim != 3 or image.shape[0] not in (1, 3) or 0 in image.shape:
        raise ValueError(f"image of shape {tuple(image.shape)}, expected (1, H, W) grey or (3, H, W) RGB")
    _check_values("image", image, 0.0)
    levels = (image.detach().cpu().float() * 255.0).round().to(torch.uint8)
    pixels = levels[0] if levels.shape[0] == 1 else levels.permute(1, 2, 0)
    buffer = io.BytesIO()
    Image.fromarray(pixels.numpy()).save(buffer, format="PNG")
    return buffer.getvalue()


def decode_png(data: bytes, name: str = "image") -> Tensor:
    """Image of a PNG (or any other format that Pillow reads).

    Args:
        data: the file's content.
        name: says in errors which file it was.

    Returns:
        (1, H, W) for grey files, else (3, H, W); float32 in [0, 1].

    Raises:
        ValueError: not a readable image.
    """
    try:
        with Image.open(io.BytesIO(data)) as image:
            is_grey = image.mode in ("1", "L", "LA", "I", "I;16", "F")
            if image.mode in ("I", "I;16", "F"):
                raise ValueError(
                    f"{name}: pixels of mode {image.mode}, expected 8 bits a channel; convert it first"
                )
            pixels = np.array(image.convert("L" if is_grey else "RGB"))
    except UnidentifiedImageError as error:
        raise ValueError(f"{name} is no readable image (unknown format); expected a PNG file") from error
    except (OSError, SyntaxError) as error:
        raise ValueError(f"{name} is no readable image ({error}); expected a PNG file") from error
    levels = torch.from_numpy(pixels).float() / 255.0
    return levels[None] if is_grey else levels.permute(2, 0, 1).contiguous()


def encode_wav(waveform: Tensor, sample_rate: int) -> bytes:
    """16-bit WAV of a waveform (T,) float in [-1, 1].

    Args:
        waveform: one channel.
        sample_rate: its samples a second.

    Raises:
        ValueError: another shape or dtype, no samples, NaN, or values outside [-1, 1].
    """
    if waveform.ndim != 1 or len(waveform) == 0:
        raise ValueError(f"waveform of shape {tuple(waveform.shape)}, expected (T,) with T of at least 1")
    _check_values("waveform", waveform, -1.0)
    buffer = io.BytesIO()
    samples = waveform.detach().cpu().float().numpy()
    soundfile.write(buffer, samples, sample_rate, format="WAV", subtype="PCM_16")
    return buffer.getvalue()


def decode_wav(data: bytes, sample_rate: int, name: str = "clip", is_resampled: bool = False) -> Tensor:
    """Waveform of a WAV (or any other format that libsndfile reads); several channels are averaged.

    Args:
        data: the file's content.
        sample_rate: samples a second of the result, and of the file unless `is_resampled`.
        name: says in errors which file it was.
        is_resampled: bring a file of another rate to `sample_rate`, instead of refusing it.

    Returns:
        (T,) float32 in [-1, 1].

    Raises:
        ValueError: not readable, cut short, another sample rate, no samples, NaN, or values far outside [-1, 1].
    """
    _check_whole(data, name)
    try:
        samples, found = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise ValueError(
            f"{name} is no readable sound ({error.error_string}); expected a WAV file"
        ) from error
    if found != sample_rate and not is_resampled:
        raise ValueError(
            f"{name} has {found} samples a second, expected {sample_rate}; resample the file first, or ask for it "
            "(--resample)"
        )
    if len(samples) == 0:
        raise ValueError(f"{name} is empty: expected at least one sample of sound")
    waveform = torch.from_numpy(samples.mean(axis=1))
    if not bool(torch.isfinite(waveform).all()):
        raise ValueError(f"{name} holds NaN or infinite samples; expected numbers in [-1, 1]")
    peak = float(waveform.abs().max())
    if peak > _MOST_OVERSHOOT:
        raise ValueError(f"{name} has values up to {peak:g}, expected [-1, 1]; scale it first")
    return resample(waveform, found, sample_rate).clamp(-1.0, 1.0)


def decode_text(data: bytes, name: str = "text") -> str:
    """Text of UTF-8 bytes without white space at its ends.

    Raises:
        ValueError: not UTF-8, or nothing but white space.
    """
    try:
        text = data.decode("utf-8").strip()
    except UnicodeDecodeError as error:
        raise ValueError(f"{name} is not UTF-8 text ({error})") from error
    if not text:
        raise ValueError(f"{name} is empty; expected some text")
    return text


def encode_media(kind: str, media: Any, rate: float) -> bytes:
    """File content of media of a kind.

    Args:
        kind: "image" as PNG, "audio" as WAV, "text" as UTF-8, "video" as MP4 without loss, "motion" as safetensors.
        media: one sample.
        rate: samples, frames or poses a second.

    Raises:
        ValueError: an unknown kind, or media that do not fit it.
    """
    if kind == "image":
        return encode_png(media)
    if kind == "audio":
        return encode_wav(media, round(rate))
    if kind == "text":
        return f"{media}\n".encode()
    if kind == "video":
        _check_values("video", media, 0.0)
        return encode_video(media, rate)
    if kind == "motion":
        return encode_motion(media, rate)
    raise ValueError(f"no file format for media of kind {kind!r}; expected {', '.join(SUFFIXES)}")


def decode_media(kind: str, data: bytes, rate: float, name: str, is_resampled: bool = False) -> Any:
    """Inverse of `encode_media`; `name` says in errors which file it was.

    With `is_resampled`, sound and video of another rate are brought to `rate`, instead of being refused.
    """
    if kind == "image":
        return decode_png(data, name)
    if kind == "audio":
        return decode_wav(data, round(rate), name, is_resampled)
    if kind == "text":
        return decode_text(data, name)
    if kind == "video":
        return decode_video(data, rate, name, is_resampled)
    if kind == "motion":
        return decode_motion(data, rate, name)
    raise ValueError(f"no file format for media of kind {kind!r}; expected {', '.join(SUFFIXES)}")


def write_media(path: Path, kind: str, media: Any, rate: float) -> None:
    """Write media to a file, which appears whole or not at all."""
    data = encode_media(kind, media, rate)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_bytes(data)
    partial.replace(path)


def read_media(path: Path, rate: float) -> Any:
    """Media of a file, its kind known by the suffix: .png, .wav, .txt, .mp4 or .safetensors.

    Raises:
        ValueError: no such file, an unknown suffix, or content that does not fit.
    """
    kinds = {suffix: kind for kind, suffix in SUFFIXES.items()}
    if path.suffix.lower() not in kinds:
        raise ValueError(f"{path}: unknown suffix {path.suffix!r}, expected one of {', '.join(kinds)}")
    if not path.is_file():
        raise ValueError(f"{path} does not exist")
    return decode_media(kinds[path.suffix.lower()], path.read_bytes(), rate, str(path))


def _check_whole(data: bytes, name: str) -> None:
    """Raise ValueError for a WAV file with less in it than it says: libsndfile reads the rest without a word."""
    if data[:4] != b"RIFF" or len(data) < 8:
        return
    told = int.from_bytes(data[4:8], "little")
    if told != _UNKNOWN_SIZE and told + 8 > len(data):
        raise ValueError(f"{name} is cut short: {len(data)} bytes of {told + 8}; copy the file again")


def _check_values(name: str, media: Tensor, low: float) -> None:
    if not media.is_floating_point():
        raise ValueError(f"{name} of dtype {media.dtype}, expected floating point in [{low:g}, 1]")
    if not bool(torch.isfinite(media).all()):
        raise ValueError(f"{name} holds NaN or infinite values; expected numbers in [{low:g}, 1]")
    smallest, largest = float(media.min()), float(media.max())
    if smallest < low or largest > 1.0:
        raise ValueError(f"{name} has values from {smallest:g} to {largest:g}, expected [{low:g}, 1]")
