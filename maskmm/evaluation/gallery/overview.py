"""One picture that says what the model does."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from maskmm.evaluation.digits.samples import Judged, Samples
from maskmm.evaluation.gallery.choose import first_of_each
from maskmm.evaluation.gallery.mosaic import framed, mosaic, picture
from maskmm.evaluation.gallery.sheets import inpainting_tiles, new_figure, show, wrapped
from maskmm.evaluation.gallery.spectrograms import show_spectrogram

WIDTH, HEIGHT = 1200, 700
_TITLE = "One masked transformer for images, captions and speech"
_NOTE = (
    "First samples of each digit, none selected; red frame: the judge sees another digit. "
    "The images are real handwriting or generated, the speech is synthetic."
)
_CAPTION_SIZE = 7.5


class Canvas:
    """A figure whose parts are placed in pixels from its upper left corner."""

    def __init__(self) -> None:
        self.figure = new_figure(WIDTH / 100, HEIGHT / 100, _TITLE, _NOTE)

    def axes(self, x: float, y: float, width: float, height: float) -> Axes:
        """Axes of a box."""
        return self.figure.add_axes((x / WIDTH, 1 - (y + height) / HEIGHT, width / WIDTH, height / HEIGHT))

    def text(self, x: float, y: float, text: str, size: float = _CAPTION_SIZE, **style: str) -> None:
        """Text whose upper edge is at y; centred at x unless the style says otherwise."""
        drawn = self.figure.text(x / WIDTH, 1 - y / HEIGHT, text, fontsize=size, linespacing=1.05)
        drawn.set(**({"ha": "center", "va": "top"} | style))

    def heading(self, x: float, y: float, text: str) -> None:
        """Heading of a panel."""
        self.text(x, y, text, 11.5, ha="left", fontweight="bold")

    def image(self, x: float, y: float, side: float, image: Tensor, is_right: bool) -> None:
        """One image."""
        show(self.axes(x, y, side, side), framed(picture(image), is_right))


def overview(samples: Samples) -> Figure:
    """1200 x 700 pixels: captions to images, images to captions, speech to both, captions to speech, inpainting."""
    canvas = Canvas()
    _images_of_captions(canvas, samples.text_to_image)
    _captions_of_images(canvas, samples.image_to_text)
    _images_and_captions_of_clips(canvas, samples.speech_to_text, samples.speech_to_image)
    _clips_of_captions(canvas, samples.text_to_speech)
    _inpainting(canvas, samples)
    return canvas.figure


def _spread(labels: NDArray[np.int64], start: int, count: int) -> list[int]:
    """The first sample of `count` digits, from the digit `start` on."""
    firsts = first_of_each(labels, 1)
    return [int(row) for row in np.roll(firsts, -start)[:count]]


def _images_of_captions(canvas: Canvas, made: Judged) -> None:
    canvas.heading(15, 74, "Captions to images")
    pitch = 84
    for place, row in enumerate(_spread(made.labels, 0, 6)):
        canvas.image(15 + pitch * place + 6, 96, 72, made.media[row], bool(made.is_right[row]))
        canvas.text(15 + pitch * place + 42, 170, wrapped(made.sources[row], 15))
    columns = [np.flatnonzero(made.labels == digit)[1:10] for digit in range(10)]
    num_rows = min(len(column) for column in columns)
    if num_rows:
        rows = np.stack([column[:num_rows] for column in columns], axis=1).flatten()
        tiles = mosaic(made.media[rows], 10, made.is_right[rows])
        show(canvas.axes(15, 218, 504, 504 * num_rows / 10), tiles)


def _captions_of_images(canvas: Canvas, made: Judged) -> None:
    canvas.heading(545, 74, "Held-out images to captions")
    pitch = 640 / 7
    for place, row in enumerate(_spread(made.labels, 1, 7)):
        left = 545 + pitch * place
        canvas.image(left + (pitch - 66) / 2, 96, 66, made.sources[row], bool(made.is_right[row]))
        canvas.text(left + pitch / 2, 164, wrapped(made.media[row], 16))


def _images_and_captions_of_clips(canvas: Canvas, read: Judged, drawn: Judged) -> None:
    canvas.heading(545, 210, "Unheard voices to captions and images")
    pitch = 640 / 5
    for place, row in enumerate(_spread(read.labels, 2, 5)):
        left = 545 + pitch * place
        show_spectrogram(canvas.axes(left + 2, 234, 56, 54), read.sources[row])
        canvas.image(left + 62, 231, 60, drawn.media[row], bool(drawn.is_right[row]))
        canvas.text(left + 62, 292, wrapped(read.media[row], 24))


def _clips_of_captions(canvas: Canvas, made: Judged) -> None:
    canvas.heading(545, 330, "Captions to speech")
    pitch = 640 / 7
    for place, row in enumerate(_spread(made.labels, 3, 7)):
        left = 545 + pitch * place
        show_spectrogram(canvas.axes(left + 4, 353, pitch - 8, 52), made.media[row])
        canvas.text(left + pitch / 2, 409, wrapped(made.sources[row], 16))


def _inpainting(canvas: Canvas, samples: Samples) -> None:
    canvas.heading(545, 456, "Inpainting")
    tiles = inpainting_tiles(samples, 9)
    side = 68.0
    for row, name in enumerate(("held out", "given", "filled in")):
        canvas.text(598, 480 + side * row + side / 2, name, 9, ha="right", va="center")
    width = min(582.0, side * tiles.shape[1] / (tiles.shape[0] / 3))
    show(canvas.axes(603, 480, width, 3 * side), tiles)
