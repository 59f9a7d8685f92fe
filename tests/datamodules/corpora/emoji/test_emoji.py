import sys
from pathlib import Path

import pytest
import torch
import webdataset

from datamodules.corpora.emoji.corpus import EmojiCorpus
from datamodules.corpora.emoji.export import emoji_samples, write_emoji_shards
from datamodules.corpora.emoji.images import composite, load_or_render, render
from datamodules.corpora.emoji.table import LANGUAGES, base_of, load_table
from datamodules.corpora.splits import SPLITS
from datamodules.shards import read_shards


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> EmojiCorpus:
    return EmojiCorpus(seed=0, size=16, cache_dir=tmp_path_factory.mktemp("emoji"), skin_tones=False)


def test_table_joins_drawings_and_names() -> None:
    table = load_table()
    assert len(table) == 3944 and sum(not item.has_skin_tone for item in table) == 1914
    assert len({item.text for item in table}) == len({item.file for item in table}) == 3944
    by_text = {item.text: item for item in table}
    assert by_text["😀"].names["en"] == "grinning face" and by_text["🥇"].names["de"] == "goldmedaille"
    thumb = by_text["👍🏽"]
    assert thumb.has_skin_tone and thumb.base == "👍" and thumb.names["en"] == "thumbs up medium skin tone"
    assert all(len(item.names) == len(LANGUAGES) == 14 and all(item.names.values()) for item in table)


@pytest.mark.parametrize(
    "text, base",
    [
        ("👩🏽‍🚀", "🧑‍🚀"),
        ("👨‍🚀", "🧑‍🚀"),
        ("🏃🏿‍♀", "🏃"),
        ("🤝🏻", "🤝"),
        ("🧑🏻‍🤝‍🧑🏿", "🧑‍🤝‍🧑"),
        ("♀", "♀"),
    ],
)
def test_base_is_without_tone_and_gender(text: str, base: str) -> None:
    assert base_of(text) == base


@pytest.mark.parametrize("skin_tones, counts", [(True, 3944), (False, 1914)])
def test_no_base_is_in_two_splits(skin_tones: bool, counts: int) -> None:
    corpus = EmojiCorpus(seed=3, skin_tones=skin_tones)
    items = {split: corpus.items(split) for split in SPLITS}
    bases = [{item.base for item in items[split]} for split in SPLITS]
    assert sum(len(part) for part in items.values()) == counts
    assert not (bases[0] & bases[1] or bases[0] & bases[2] or bases[1] & bases[2])
    total = sum(len(part) for part in bases)
    assert [round(len(part) / total, 2) for part in bases] == [0.8, 0.1, 0.1]


def test_split_is_a_function_of_the_seed_and_not_of_the_tones() -> None:
    assert EmojiCorpus(1).items("test") == EmojiCorpus(1).items("test") != EmojiCorpus(2).items("test")
    toned = {item.text for item in EmojiCorpus(1).items("test")}
    assert {item.text for item in EmojiCorpus(1, skin_tones=False).items("test")} <= toned


def test_images_on_their_ground() -> None:
    rgba = torch.from_numpy(render(["1F600", "2B1B"], 64))
    assert rgba.shape == (2, 4, 64, 64) and rgba.dtype == torch.uint8
    white, alpha = composite(rgba)
    red, _ = composite(rgba, (1.0, 0.0, 0.0))
    assert white.shape == (2, 3, 64, 64) and alpha.shape == (2, 1, 64, 64)
    assert torch.equal(white[:, :, 0, 0], torch.ones(2, 3)) and float(alpha[:, :, 0, 0].max()) == 0.0
    assert torch.equal(red[0, :, 0, 0], torch.tensor([1.0, 0.0, 0.0]))
    inside = (alpha == 1.0).expand_as(white)
    assert torch.equal(white[inside], red[inside])
    yellow = white[0, :, 18, 32]  # the forehead
    assert yellow[0] > 0.8 and yellow[2] < 0.6 and float(white[1, :, 32, 32].max()) < 0.4


def test_cache_holds_the_same_pictures(tmp_path: Path) -> None:
    made = load_or_render(["1F600", "1F4A9"], 32, tmp_path)
    (file,) = tmp_path.iterdir()
    assert (load_or_render(["1F600", "1F4A9"], 32, tmp_path) == made).all()
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(ValueError, match=f"{file.name} is no readable cache"):
        load_or_render(["1F600", "1F4A9"], 32, tmp_path)


def test_corpus_to_shards_and_back(small: EmojiCorpus, tmp_path: Path) -> None:
    paths = write_emoji_shards(small, tmp_path / "val", "val", ("en", "ja"), seed=1, samples_per_shard=100)
    read, made = list(read_shards(paths, {})), list(emoji_samples(small, "val", ("en", "ja"), 1))
    assert len(read) == len(made) == len(small.items("val"))
    for one, other in zip(read, made):
        assert one.key == other.key and one.metadata == other.metadata
        assert one.media["text"][1] == one.metadata["names"][one.metadata["language"]]
        for name in ("image", "alpha"):
            assert (one.media[name][1] - other.media[name][1]).abs().max() < 1 / 255
    languages = [one.metadata["language"] for one in read]
    assert 0.3 < languages.count("ja") / len(read) < 0.7
    dataset = webdataset.WebDataset([str(p) for p in paths], shardshuffle=False)
    assert {"image.png", "alpha.png", "text.txt", "json"} <= set(next(iter(dataset)))


def test_bad_input_is_named(small: EmojiCorpus, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="split 'valid'"):
        small.images("valid")
    with pytest.raises(ValueError, match="size=0"):
        EmojiCorpus(size=0)
    with pytest.raises(ValueError, match="no drawing 'XX'"):
        render(["XX"], 8)
    with pytest.raises(ValueError, match="expected some of en, es"):
        next(emoji_samples(small, "val", ("xx",)))  # type: ignore[arg-type]
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    with pytest.raises(ValueError, match=r'resvg-py: pip install "maskmm\[corpora\]"'):
        render(["1F600"], 8)
