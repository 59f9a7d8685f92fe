from pathlib import Path

import pytest
import torch

from datamodules.corpora.emoji.augment import augment
from datamodules.emoji_media import EmojiImages
from tokenizers_vq.contract import Key


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("emoji")


def drawings(count: int = 64, size: int = 64) -> torch.Tensor:
    """A coloured corner-less block on white."""
    images = torch.ones(count, 3, size, size)
    images[:, :, 10:30, 20:30] = torch.tensor([0.1, 0.5, 0.9])[:, None, None]
    return images


def test_batches(cache: Path) -> None:
    settings = {"size": 16, "cache_dir": cache}
    data = EmojiImages(batch_size=12, num_steps=2, **settings)
    batches = [batch["media"] for batch in data.train_dataloader()]
    assert [tuple(b.shape) for b in batches] == [(12, 3, 16, 16)] * 2
    assert all(0 <= float(b.min()) <= float(b.max()) <= 1 for b in batches)
    small = [b["media"] for b in EmojiImages(batch_size=6, num_steps=4, **settings).train_dataloader()]
    assert torch.equal(torch.cat(small), torch.cat(batches))
    for split, loader in (("val", data.val_dataloader()), ("test", data.test_dataloader())):
        seen = torch.cat([batch["media"] for batch in loader])
        assert torch.equal(seen, data.corpus.images(split).images)


def test_drawings_are_moved_mirrored_and_recoloured_whole() -> None:
    changed = augment(drawings(), Key(0), torch.arange(64))
    is_drawn = (changed < 1).all(dim=1)
    assert (is_drawn.flatten(1).sum(dim=1) == 200).all()
    rows, columns = is_drawn.any(dim=2).int().argmax(dim=1), is_drawn.any(dim=1).int().argmax(dim=1)
    assert set(rows.tolist()) == set(range(4, 17))
    assert columns.min() < 32 < columns.max()  # mirrored, they start at 34
    colours = {
        tuple(image[:, mask].mean(dim=1).mul(10).round().int().tolist())
        for image, mask in zip(changed, is_drawn)
    }
    assert len(colours) == 6


def test_a_change_depends_on_the_sample_alone() -> None:
    ids = torch.arange(64)
    whole = augment(drawings(), Key(0), ids)
    assert torch.equal(augment(drawings(8), Key(0), ids[20:28]), whole[20:28])
    assert not torch.equal(augment(drawings(), Key(0).at(1), ids), whole)
