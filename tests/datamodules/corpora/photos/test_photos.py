from pathlib import Path

import pytest
import torch

from datamodules.corpora.photos import photographs
from datamodules.corpora.photos.corpus import PhotoCrops
from datamodules.corpora.photos.photographs import PHOTOGRAPHS, Photograph, load, path_of
from datamodules.corpora.splits import SPLITS
from datamodules.photo_media import PhotoImages
from tokenizers_vq.contract import Key


def test_no_photograph_is_in_two_splits_and_all_are_there() -> None:
    every = [one for split in SPLITS for one in PHOTOGRAPHS[split]]
    assert len(every) == len(set(every)) == 17
    assert all(path_of(one).is_file() for one in every)


def test_grey_becomes_three_equal_channels_and_shrinking_is_a_mean() -> None:
    camera = load(Photograph("skimage", "camera.png"))
    assert camera.shape == (3, 512, 512) and camera.dtype == torch.uint8
    assert torch.equal(camera[0], camera[1]) and torch.equal(camera[0], camera[2])
    half = load(Photograph("skimage", "camera.png"), 2)
    mean = camera.float().unfold(1, 2, 2).unfold(2, 2, 2).mean(dim=(3, 4))
    assert (half.float() - mean).abs().max() <= 1


def test_tiles_cover_each_picture_once() -> None:
    corpus = PhotoCrops(64)
    tiles = corpus.grid("test")
    assert tiles.shape == (189, 3, 64, 64) and tiles.dtype == torch.float32
    first = corpus.pictures("test")[0]  # 512 x 512: eight tiles a row
    assert torch.equal(tiles[9] * 255, first[:, 64:128, 64:128].float())


def test_crops_depend_on_their_sample_alone() -> None:
    corpus, key = PhotoCrops(32), Key(0)
    whole = corpus.draw("train", key, torch.arange(20))
    assert whole.shape == (20, 3, 32, 32) and 0 <= float(whole.min()) <= float(whole.max()) <= 1
    assert torch.equal(corpus.draw("train", key, torch.arange(5, 9)), whole[5:9])
    assert not torch.equal(corpus.draw("train", Key(1), torch.arange(20)), whole)


def test_batches() -> None:
    data = PhotoImages(batch_size=6, num_steps=2, size=32)
    assert [tuple(b["media"].shape) for b in data.train_dataloader()] == [(6, 3, 32, 32)] * 2
    small = [b["media"] for b in PhotoImages(batch_size=3, num_steps=4, size=32).train_dataloader()]
    assert torch.equal(torch.cat(small), torch.cat([b["media"] for b in data.train_dataloader()]))
    for split, loader in (("val", data.val_dataloader()), ("test", data.test_dataloader())):
        assert torch.equal(torch.cat([b["media"] for b in loader]), data.corpus.grid(split))


def test_bad_input(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="size=0"):
        PhotoCrops(0)
    with pytest.raises(ValueError, match="size=300 pixels, expected at most 150"):
        PhotoCrops(300).grid("test")
    with pytest.raises(ValueError, match="split 'all'"):
        PhotoCrops().grid("all")
    monkeypatch.setattr(photographs, "package_folder", lambda *args: tmp_path)
    with pytest.raises(ValueError, match="came without it"):
        load(Photograph("skimage", "camera.png"))
