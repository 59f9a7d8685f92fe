import io
import tarfile
from pathlib import Path

import pytest
import torch

from datamodules.shards import MediaSample, read_shards, write_shards

RATE = 16_000


def make_samples(count: int) -> list[MediaSample]:
    samples = []
    for index in range(count):
        media: dict[str, tuple[str, object]] = {}
        if index % 2 == 0:
            media["image"] = ("image", torch.full((1, 8, 8), index / 255))
        if index % 3 == 0:
            media["caption"] = ("text", f"number {index}")
        if index % 5 == 0:
            media["speech"] = ("audio", torch.linspace(-0.5, 0.5, 300 + index))
        samples.append(MediaSample(f"s{index:03d}", media, {"index": index}))
    return samples


def test_there_and_back_with_missing_modalities(tmp_path: Path) -> None:
    made = make_samples(31)
    paths = write_shards(tmp_path / "out", made, RATE, samples_per_shard=10)
    assert [p.name for p in paths] == [f"0000{i}.tar" for i in range(4)] and all(p.is_file() for p in paths)
    read = list(read_shards(paths, RATE))
    assert [(s.key, s.metadata, set(s.media)) for s in read] == [
        (s.key, s.metadata, set(s.media)) for s in made
    ]
    assert read[1].media == {}
    for one, other in zip(read, made):
        for name, (kind, value) in one.media.items():
            if kind == "text":
                assert value == other.media[name][1]
            else:
                torch.testing.assert_close(value, other.media[name][1], atol=1e-4, rtol=0)


def test_same_samples_same_bytes(tmp_path: Path) -> None:
    (one,) = write_shards(tmp_path / "a", make_samples(5), RATE)
    (other,) = write_shards(tmp_path / "b", make_samples(5), RATE)
    assert one.read_bytes() == other.read_bytes()


@pytest.mark.parametrize("kept", ["no end", "half", "whole members", "nothing"])
def test_truncation_is_named(tmp_path: Path, kept: str) -> None:
    (path,) = write_shards(tmp_path / "a", make_samples(12), RATE)
    with tarfile.open(path) as tar:
        members = tar.getmembers()
    data = path.read_bytes()
    end = {
        "no end": len(data.rstrip(b"\0")),
        "half": len(data) // 2 + 100,
        "whole members": members[8].offset,
        "nothing": 0,
    }[kept]
    path.write_bytes(data[:end])
    with pytest.raises(ValueError, match=r"shard .*00000\.tar is truncated"):
        list(read_shards([path], RATE))


@pytest.mark.parametrize("place", [0, 3 * 512])
def test_damaged_headers_are_named(tmp_path: Path, place: int) -> None:
    (path,) = write_shards(tmp_path / "a", make_samples(12), RATE)
    data = bytearray(path.read_bytes())
    with tarfile.open(path) as tar:
        offset = 0 if place == 0 else tar.getmembers()[5].offset
    data[offset + 3] ^= 0x55
    path.write_bytes(bytes(data))
    with pytest.raises(ValueError, match=r"shard .*00000\.tar is corrupt"):
        list(read_shards([path], RATE))


def test_foreign_content_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="gone.tar does not exist"):
        list(read_shards([tmp_path / "gone.tar"], RATE))
    path = tmp_path / "x.tar"
    path.write_bytes(b"not a tar file" * 500)
    with pytest.raises(ValueError, match="x.tar is truncated"):
        list(read_shards([path], RATE))
    for name, data, message in [
        ("a.image.bmp", b"1", "expected <key>.json or <key>.<modality>"),
        ("a.json", b"{", "a.json is corrupt"),
        ("a.image.png", b"1", r"x.tar, a.image.png is no readable image"),
    ]:
        with tarfile.open(path, "w") as tar:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
        with pytest.raises(ValueError, match=message):
            list(read_shards([path], RATE))


def test_wrong_requests_leave_nothing(tmp_path: Path) -> None:
    bad = MediaSample("a", {"image": ("image", torch.full((1, 2, 2), 2.0))})
    with pytest.raises(ValueError, match="values from 2 to 2"):
        write_shards(tmp_path / "out", [*make_samples(3), bad], RATE)
    with pytest.raises(ValueError, match=r"name 'a\.b' must not"):
        write_shards(tmp_path / "out", [MediaSample("a.b", {})], RATE)
    with pytest.raises(ValueError, match="samples_per_shard=0"):
        write_shards(tmp_path / "out", [], RATE, 0)
    assert list(tmp_path.iterdir()) == []
