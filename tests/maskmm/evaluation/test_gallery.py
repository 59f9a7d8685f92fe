from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image

from datamodules.corpora.digits import captions
from maskmm.evaluation.digits import EvaluationSizes, Samples, evaluate_digits
from maskmm.evaluation.gallery import write_gallery
from maskmm.evaluation.gallery.choose import first_of_each
from maskmm.evaluation.gallery.mosaic import hide_rows, mosaic
from maskmm.evaluation.provenance import Provenance
from maskmm.evaluation.scores import Scores

SIZES = EvaluationSizes(120, 30, 100, 20, held_out=40, training=100)


@pytest.fixture(scope="module")
def result(make_pipeline: Any, corpus: Any) -> tuple[Scores, Samples]:
    wrong_nine = make_pipeline({9: 4})  # so that red frames are drawn
    return evaluate_digits(
        wrong_nine, corpus, captions, 0, SIZES, provenance=Provenance("pytest <gallery>", {}, {})
    )


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.files: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.files += [value for name, value in attrs if name in ("src", "href") and value]


def test_page_links_only_files_that_exist_and_all_of_them(
    tmp_path: Path, result: tuple[Scores, Samples]
) -> None:
    scores, samples = result
    folder = tmp_path / "gallery"
    write_gallery(folder, samples, scores)
    text = (folder / "index.html").read_text()
    links = _Links()
    links.feed(text)
    present = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()} - {"index.html"}
    assert set(links.files) == present
    assert "pytest &lt;gallery&gt;" in text
    assert [p.name for p in tmp_path.iterdir()] == ["gallery"]
    with Image.open(folder / "gallery.png") as overview:
        assert overview.size == (1200, 700)
        pixels = np.asarray(overview.convert("RGB"))
    is_red = (pixels[..., 0] > 200) & (pixels[..., 1] < 60) & (pixels[..., 2] < 60)
    assert is_red.any()
    clips = sorted(folder.glob("wav/text_to_speech_*.wav"))
    assert len(clips) == 20
    waveform, rate = soundfile.read(clips[0])
    assert rate == 16_000
    assert np.abs(waveform).max() > 0.1


def test_a_gallery_is_replaced_but_nothing_else_is(tmp_path: Path, result: tuple[Scores, Samples]) -> None:
    other = tmp_path / "thesis"
    other.mkdir()
    (other / "chapter.txt").write_text("precious")
    with pytest.raises(ValueError, match=r"thesis holds files but no index\.html"):
        write_gallery(other, result[1])
    assert (other / "chapter.txt").read_text() == "precious"


def test_mosaic_places_tiles_and_frames() -> None:
    images = torch.stack([torch.full((1, 4, 4), value) for value in (0.2, 0.4, 0.6)])
    tiles = mosaic(images, 2, np.array([True, False, True]))
    assert tiles.shape == (20, 20, 3)
    assert tiles[5, 5] == pytest.approx([0.2] * 3)
    assert tiles[5, 15] == pytest.approx([0.4] * 3)
    assert tiles[15, 5] == pytest.approx([0.6] * 3)
    assert tiles[15, 15] == pytest.approx([1.0] * 3)  # no fourth image
    assert tiles[1, 11] == pytest.approx([0.9, 0.1, 0.1])
    assert tiles[1, 1] == pytest.approx([1.0] * 3)
    with pytest.raises(ValueError, match="no images"):
        mosaic(images[:0], 2)


def test_hidden_rows_are_grey_and_the_original_stays() -> None:
    images = torch.ones(2, 1, 4, 4)
    hidden = hide_rows(images, (2, 4))
    assert (hidden[:, :, :2] == 1).all()
    assert (hidden[:, :, 2:] < 1).all()
    assert (images == 1).all()


def test_first_of_each() -> None:
    assert first_of_each(np.array([2, 0, 2, 0, 2, 1]), 2).tolist() == [1, 3, 5, 0, 2]
