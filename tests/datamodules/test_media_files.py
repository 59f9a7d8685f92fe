from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image

from datamodules.media_files import (
    decode_media,
    decode_png,
    decode_wav,
    encode_media,
    encode_png,
    encode_wav,
    read_media,
    write_media,
)

RATE = 16_000


@pytest.mark.parametrize("channels", [1, 3])
def test_png_there_and_back(channels: int, tmp_path: Path) -> None:
    image = torch.rand(channels, 5, 7, generator=torch.Generator().manual_seed(0))
    path = tmp_path / "a.png"
    write_media(path, "image", image, RATE)
    back = read_media(path, RATE)
    assert back.shape == image.shape and back.dtype == torch.float32
    assert (back - image).abs().max() <= 0.5 / 255 + 1e-6
    assert encode_png(back) == path.read_bytes()
    assert list(tmp_path.iterdir()) == [path]


def test_wav_there_and_back(tmp_path: Path) -> None:
    waveform = torch.sin(torch.arange(1000) * 0.1)
    path = tmp_path / "a.wav"
    write_media(path, "audio", waveform, RATE)
    assert soundfile.info(path).samplerate == RATE
    assert (read_media(path, RATE) - waveform).abs().max() < 1e-4


def test_stereo_is_averaged(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, np.array([[0.5, -0.5], [0.5, 0.25]]), RATE, subtype="FLOAT")
    assert read_media(path, RATE).tolist() == [0.0, 0.375]


def test_text_there_and_back(tmp_path: Path) -> None:
    write_media(tmp_path / "a.txt", "text", "a handwritten seven", RATE)
    assert read_media(tmp_path / "a.txt", RATE) == "a handwritten seven"


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (torch.zeros(2, 4, 4), r"shape \(2, 4, 4\), expected \(1, H, W\) grey"),
        (torch.zeros(4, 4), "shape"),
        (torch.zeros(1, 4, 4, dtype=torch.int64), "dtype torch.int64"),
        (torch.full((1, 2, 2), float("nan")), "NaN"),
        (torch.full((1, 2, 2), 1.5), "values from 1.5 to 1.5, expected"),
    ],
)
def test_wrong_images_are_named(image: torch.Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        encode_png(image)


@pytest.mark.parametrize(
    ("waveform", "message"),
    [
        (torch.zeros(0), r"shape \(0,\)"),
        (torch.zeros(1, 10), r"shape \(1, 10\), expected \(T,\)"),
        (torch.tensor([0.0, float("inf")]), "NaN or infinite"),
        (torch.tensor([0.0, -1.2]), "values from -1.2 to 0"),
        (torch.zeros(5, dtype=torch.int16), "dtype torch.int16"),
    ],
)
def test_wrong_waveforms_are_named(waveform: torch.Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        encode_wav(waveform, RATE)


def test_wrong_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(encode_wav(torch.zeros(10), 8000))
    with pytest.raises(ValueError, match="a.wav has 8000 samples a second, expected 16000; resample"):
        read_media(path, RATE)
    soundfile.write(path, np.zeros(0), RATE)
    with pytest.raises(ValueError, match="a.wav is empty"):
        read_media(path, RATE)
    soundfile.write(path, np.array([0.0, np.nan]), RATE, subtype="FLOAT")
    with pytest.raises(ValueError, match="a.wav holds NaN"):
        read_media(path, RATE)
    with pytest.raises(ValueError, match="clip is no readable sound"):
        decode_wav(b"noise", RATE)
    with pytest.raises(ValueError, match="image is no readable image"):
        decode_png(encode_png(torch.rand(1, 40, 40))[:600])
    Image.fromarray(np.zeros((2, 2), dtype=np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(ValueError, match="deep.png: pixels of mode I;16"):
        read_media(tmp_path / "deep.png", RATE)
    (tmp_path / "a.txt").write_text(" \n")
    with pytest.raises(ValueError, match="a.txt is empty"):
        read_media(tmp_path / "a.txt", RATE)
    with pytest.raises(ValueError, match="not UTF-8"):
        decode_media("text", b"\xff\xfe\xfd", RATE, "x")


def test_half_a_wav_is_refused() -> None:
    data = encode_wav(torch.zeros(1000), RATE)
    with pytest.raises(ValueError, match=f"clip is cut short: 900 bytes of {len(data)}"):
        decode_wav(data[:900], RATE)
    # A program that writes into a pipe does not know the size.
    assert len(decode_wav(data[:4] + b"\xff" * 4 + data[8:], RATE)) == 1000


def test_sound_of_another_scale_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, np.array([0.0, -32768.0]), RATE, subtype="FLOAT")
    with pytest.raises(ValueError, match=r"values up to 32768, expected \[-1, 1\]"):
        read_media(path, RATE)
    soundfile.write(path, np.array([0.0, 1.01]), RATE, subtype="FLOAT")
    assert read_media(path, RATE).tolist() == [0.0, 1.0]


def test_wrong_names_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="unknown suffix '.mp3'"):
        read_media(tmp_path / "a.mp3", RATE)
    with pytest.raises(ValueError, match="b.png does not exist"):
        read_media(tmp_path / "b.png", RATE)
    with pytest.raises(ValueError, match="kind 'smell'"):
        encode_media("smell", None, RATE)
    with pytest.raises(ValueError, match="kind 'smell'"):
        decode_media("smell", b"", RATE, "x")


def test_a_clip_is_resampled_when_asked() -> None:
    tone = 0.5 * torch.sin(torch.arange(4000) * 2 * torch.pi * 440 / 8000)
    data = encode_wav(tone, 8000)
    with pytest.raises(ValueError, match="8000 samples a second, expected 16000.*--resample"):
        decode_wav(data, 16000)
    back = decode_wav(data, 16000, is_resampled=True)
    expected = 0.5 * torch.sin(torch.arange(8000) * 2 * torch.pi * 440 / 16000)
    assert back.shape == (8000,)
    torch.testing.assert_close(back[500:-500], expected[500:-500], atol=5e-3, rtol=0)
    assert torch.equal(decode_wav(data, 8000, is_resampled=True), decode_wav(data, 8000))
