"""One picture for each kind of sample."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

from maskmm.evaluation.digits.samples import Samples
from maskmm.evaluation.gallery.choose import first_of_each
from maskmm.evaluation.gallery.mosaic import framed, hide_rows, mosaic, picture, stacked

HONESTY = "First samples of each digit, none selected. Red frame: the judge sees another digit."
_DPI = 100


def new_figure(width: float, height: float, title: str, note: str = HONESTY) -> Figure:
    """White figure of width x height inches with a title and a line of small print, drawn without a display."""
    figure = Figure(figsize=(width, height), dpi=_DPI, facecolor="white")
    FigureCanvasAgg(figure)
    figure.suptitle(title, x=0.5, y=1 - 0.22 / height, fontsize=15, fontweight="bold", va="center")
    figure.text(0.5, 1 - 0.5 / height, note, ha="center", va="center", fontsize=9, color="0.35")
    return figure


def show(axes: Axes, tiles: np.ndarray, title: str = "") -> None:
    """Put a picture on axes without ticks."""
    axes.imshow(tiles, interpolation="nearest")
    axes.set_axis_off()
    if title:
        axes.set_title(title, fontsize=11, fontweight="bold", loc="left", pad=5)


def wrapped(text: str, width: int) -> str:
    """Text in lines of at most `width` characters."""
    return "\n".join(textwrap.wrap(text, width)) or "(empty)"


def captioned(images: Tensor, captions: Sequence[str], is_right: np.ndarray, title: str, note: str) -> Figure:
    """Images with their captions below, in rows of ten."""
    num_columns = 10
    num_rows = -(-len(images) // num_columns)
    height = 1.2 + 1.75 * num_rows
    figure = new_figure(1.45 * num_columns, height, title, note)
    grid = figure.subplots(
        num_rows,
        num_columns,
        squeeze=False,
        gridspec_kw={
            "left": 0.01,
            "right": 0.99,
            "top": 1 - 0.75 / height,
            "bottom": 0.45 / height,
            "hspace": 0.42,
            "wspace": 0.06,
        },
    )
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, image, caption, mark in zip(grid.flat, images, captions, is_right):
        show(axes, framed(picture(image), bool(mark)))
        axes.text(
            0.5, -0.04, wrapped(caption, 20), transform=axes.transAxes, ha="center", va="top", fontsize=8.5
        )
    return figure


def text_to_image(samples: Samples) -> Figure:
    """Ten images of each digit, with the captions that asked for them."""
    made = samples.text_to_image
    rows = first_of_each(made.labels, 10)
    captions = [made.sources[row] for row in rows]
    return captioned(made.media[rows], captions, made.is_right[rows], "Captions to images", HONESTY)


def image_to_text(samples: Samples) -> Figure:
    """Three held-out images of each digit, with what the model wrote."""
    made = samples.image_to_text
    rows = first_of_each(made.labels, 3)
    captions = [made.media[row] for row in rows]
    note = "First images of each digit, none selected. Red frame: the caption names no digit or another."
    return captioned(made.sources[rows], captions, made.is_right[rows], "Held-out images to captions", note)


def unconditional(samples: Samples) -> Figure:
    """The first hundred images from nothing, whose captions were drawn first."""
    note = (
        "The first samples in order, none selected; from nothing but masks: first a caption, then its image."
    )
    return _sheet(mosaic(samples.unconditional.media[:100], 10), "Unconditional images", note)


def image_alone(samples: Samples) -> Figure:
    """The first hundred images from nothing without a caption."""
    note = "The first samples in order, none selected; from nothing but masks, without a caption."
    return _sheet(mosaic(samples.image_alone.media[:100], 10), "Images without a caption", note)


def reconstructions(samples: Samples) -> Figure:
    """Held-out images above their reconstructions."""
    made = samples.image_reconstructions
    rows = first_of_each(made.labels, 4)
    bands = [
        stacked(
            mosaic(made.sources[part], len(part)), mosaic(made.media[part], len(part), made.is_right[part])
        )
        for part in np.array_split(rows, 4)
        if len(part)
    ]
    width = min(band.shape[1] for band in bands)
    return _sheet(
        stacked(*(band[:, :width] for band in bands)),
        "Image tokenizer: held-out images above their reconstructions",
    )


def inpainting(samples: Samples) -> Figure:
    """Original, hidden and filled, column by column."""
    return _sheet(
        inpainting_tiles(samples, 15), "Inpainting: held-out image, what the model sees, what it fills in"
    )


def inpainting_tiles(samples: Samples, count: int) -> np.ndarray:
    """Three rows: original, hidden, filled."""
    made = samples.inpainting
    originals, filled, is_right = made.sources[:count], made.media[:count], made.is_right[:count]
    num_columns = len(originals)
    return stacked(
        mosaic(originals, num_columns),
        mosaic(hide_rows(originals, samples.hidden_rows), num_columns),
        mosaic(filled, num_columns, is_right),
    )


def _sheet(tiles: np.ndarray, title: str, note: str = HONESTY) -> Figure:
    height, width = tiles.shape[:2]
    figure = new_figure(12, 0.8 + 12 * height / width, title, note)
    top = 1 - 0.7 / figure.get_figheight()
    axes = figure.add_axes((0.01, 0.01, 0.98, top - 0.01))
    show(axes, tiles)
    return figure
