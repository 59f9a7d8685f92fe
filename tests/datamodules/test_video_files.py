import dataclasses
from pathlib import Path

import pytest
import torch

from datamodules.media_files import encode_media, read_media, write_media
from datamodules.motion_files import decode_motion, encode_motion
from datamodules.video_files import decode_video, encode_video
from tokenizers_vq.contract.motion import Motion, Skeleton

ARM = Skeleton(("root", "hand"), (-1, 0), ((0.0, 0.0, 0.0), (0.0, 0.0, 1.0)), (0, 1))


def some_motion() -> Motion:
    rotations = torch.randn(5, 2, 4, generator=torch.Generator().manual_seed(0))
    return Motion(ARM, 20.0, torch.zeros(5, 3), rotations / rotations.norm(dim=-1, keepdim=True))


@pytest.mark.parametrize("rate", [30, 29.97, 12.5])
@pytest.mark.parametrize("shape", [(5, 3, 16, 24), (1, 3, 33, 17)])
def test_video_comes_back_to_eight_bits(rate: float, shape: tuple[int, ...], tmp_path: Path) -> None:
    video = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    write_media(tmp_path / "a.mp4", "video", video, rate)
    back = read_media(tmp_path / "a.mp4", rate)
    assert back.shape == shape and back.dtype == torch.float32
    assert (back - video).abs().max() <= 0.5 / 255 + 1e-6
    assert encode_video(video, rate) == (tmp_path / "a.mp4").read_bytes()


def test_grey_video_stays_grey() -> None:
    video = torch.rand(3, 1, 16, 16)
    back = decode_video(encode_video(video, 10), 10)
    assert back.shape == video.shape and (back - video).abs().max() <= 0.5 / 255 + 1e-6


def test_bad_video_is_named() -> None:
    data = encode_video(torch.rand(3, 3, 16, 16), 10)
    with pytest.raises(ValueError, match="x has 10 frames a second, expected 25"):
        decode_video(data, 25, "x")
    for broken in (b"", b"no video", data[:200], data[:-200]):
        with pytest.raises(ValueError, match="x is no readable video"):
            decode_video(broken, 10, "x")
    with pytest.raises(ValueError, match=r"expected \(T, 3, H, W\)"):
        encode_video(torch.rand(3, 16, 16), 10)
    with pytest.raises(ValueError, match="rate=0"):
        encode_video(torch.rand(1, 3, 16, 16), 0)
    with pytest.raises(ValueError, match=r"values from 2 to 2, expected \[0, 1\]"):
        encode_media("video", torch.full((1, 3, 4, 4), 2.0), 10)


def test_motion_comes_back(tmp_path: Path) -> None:
    motion = some_motion()
    write_media(tmp_path / "a.safetensors", "motion", motion, 20)
    back = read_media(tmp_path / "a.safetensors", 20)
    assert back.skeleton == motion.skeleton and back.rate == 20
    assert torch.equal(back.root, motion.root) and torch.equal(back.rotations, motion.rotations)


def test_bad_motion_is_named() -> None:
    data = encode_motion(some_motion(), 20)
    with pytest.raises(ValueError, match="x has 20 poses a second, expected 30"):
        decode_motion(data, 30, "x")
    for broken in (b"", data[:50], data[:-5]):
        with pytest.raises(ValueError, match="x is no readable motion"):
            decode_motion(broken, 20, "x")
    with pytest.raises(ValueError, match="type Tensor, expected"):
        encode_motion(torch.zeros(3), 20)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="poses a second"):
        encode_motion(dataclasses.replace(some_motion(), rate=25.0), 20)


def test_frames_are_dropped_or_repeated_when_asked() -> None:
    video = (torch.arange(6).reshape(6, 1, 1, 1) / 5).expand(6, 1, 16, 16)
    data = encode_video(video, 20)
    with pytest.raises(ValueError, match="20 frames a second, expected 10.*--resample"):
        decode_video(data, 10)
    torch.testing.assert_close(decode_video(data, 10, is_resampled=True), video[::2], atol=3e-3, rtol=0)
    slower = decode_video(data, 40, is_resampled=True)
    assert len(slower) == 12
    torch.testing.assert_close(slower[::2], video, atol=3e-3, rtol=0)
