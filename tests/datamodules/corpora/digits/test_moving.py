from pathlib import Path

import pytest
import torch

from datamodules.corpora.digits.corpus import DigitsCorpus
from datamodules.corpora.digits.moving import MovingDigits
from datamodules.corpora.digits.moving_captions import (
    DIRECTIONS,
    NAMES,
    moving_caption,
    num_captions,
    parse_moving_caption,
)
from datamodules.corpora.digits.moving_export import moving_samples, write_moving_shards
from datamodules.shards import read_shards
from tokenizers_vq.contract import Key


@pytest.fixture(scope="module")
def moving() -> MovingDigits:
    return MovingDigits(DigitsCorpus(seed=0))


def test_captions_are_read_back() -> None:
    texts = set()
    for digit in range(10):
        for direction in range(len(NAMES)):
            for index in range(num_captions):
                text = moving_caption(digit, direction, index)
                assert parse_moving_caption(text) == (digit, direction)
                texts.add(text)
    assert len(texts) == 10 * 8 * 16
    assert moving_caption(8, 2, 0) == "an eight moves up" and parse_moving_caption("an eight moves") is None
    with pytest.raises(ValueError, match="expected 0 to 9, 0 to 7"):
        moving_caption(3, 8, 0)


def test_ink_moves_as_the_caption_says(moving: MovingDigits) -> None:
    courses = moving.draw("val", Key(0), torch.arange(64))
    videos = moving.videos("val", courses)
    assert videos.shape == (64, 17, 1, 64, 64) and videos.dtype == torch.float32
    assert float(videos.min()) >= 0.0 and float(videos.max()) <= 1.0
    ink = videos[:, :, 0]
    mass = ink.sum((2, 3))
    # No ink is lost on the way: the digit never leaves the picture.
    assert torch.allclose(mass, mass[:, :1].expand_as(mass), rtol=0.02)
    axis = torch.arange(64.0)
    centre = torch.stack([(ink.sum(2) * axis).sum(-1), (ink.sum(3) * axis).sum(-1)], -1) / mass[..., None]
    path = centre - centre[:, :1]
    expected = torch.arange(17.0)[:, None] * courses.step[:, None]
    assert torch.allclose(path, expected, atol=0.3)
    for i, text in enumerate(courses.captions()):
        meaning = parse_moving_caption(text)
        assert meaning is not None and meaning[0] == int(courses.label[i])
        signs = torch.tensor(DIRECTIONS[NAMES[meaning[1]]])
        assert torch.equal(courses.step[i].sign(), signs.float()) and float(path[i, -1].abs().max()) > 12


def test_whole_pixel_steps_copy_the_image(moving: MovingDigits) -> None:
    courses = moving.draw("val", Key(0), torch.arange(1))
    courses.start[:], courses.step[:] = torch.tensor([3.0, 5.0]), torch.tensor([1.0, 0.0])
    video = moving.videos("val", courses)
    image = moving.corpus.images("val").images[courses.image[0]]
    assert torch.allclose(video[0, 4, :, 5:37, 7:39], image, atol=1e-5)


def test_course_depends_on_its_own_sample(moving: MovingDigits) -> None:
    many, one = moving.draw("test", Key(1), torch.arange(9)), moving.draw("test", Key(1), torch.tensor([5]))
    assert torch.equal(many.start[5:6], one.start) and many.captions()[5] == one.captions()[0]
    assert torch.equal(moving.videos("test", many)[5], moving.videos("test", one)[0])


def test_to_shards_and_back(moving: MovingDigits, tmp_path: Path) -> None:
    paths = write_moving_shards(moving, tmp_path / "val", "val", 5, seed=3, samples_per_shard=3)
    read, made = list(read_shards(paths, {"video": 30})), list(moving_samples(moving, "val", 5, 3))
    assert len(paths) == 2 and len(read) == 5
    val_items = set(moving.corpus.images("val").item_ids.tolist())
    for one, other in zip(read, made):
        assert one.metadata == other.metadata and one.media["text"] == other.media["text"]
        assert one.media["video"][1].shape == (17, 1, 64, 64)
        assert (one.media["video"][1] - other.media["video"][1]).abs().max() < 1 / 255
        assert one.metadata["image_item"] in val_items


def test_bad_input_is_named() -> None:
    with pytest.raises(ValueError, match="size=33"):
        MovingDigits(DigitsCorpus(), size=33)
    with pytest.raises(ValueError, match="split 'all'"):
        MovingDigits(DigitsCorpus()).draw("all", Key(0), torch.arange(2))
