"""Speech to look at."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from maskmm.evaluation.digits.samples import Samples
from maskmm.evaluation.gallery.sheets import new_figure, wrapped
from maskmm.evaluation.log_mel import log_mel

_NOTE = (
    "Log-mel spectrograms, each stretched to one width. All speech used in training is synthetic (eSpeak NG)."
)


def show_spectrogram(axes: Axes, waveform: Tensor, label: str = "", size: float = 8.0) -> None:
    """Log-mel over time, low pitches below; its width on the page does not tell its length."""
    axes.imshow(log_mel(waveform).numpy(), origin="lower", aspect="auto", cmap="magma")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_xlabel(label, fontsize=size, labelpad=3)


def speech(samples: Samples) -> Figure:
    """Held-out clips, the same through the tokenizer, and three spoken captions, for each digit."""
    rebuilt, spoken = samples.speech_reconstructions, samples.text_to_speech
    digits = [str(label) for label in rebuilt.labels.tolist()]
    rows: list[tuple[str, Sequence[Tensor], Sequence[str], np.ndarray, int]] = [
        ("held out", rebuilt.sources, digits, rebuilt.labels, 0),
        ("tokenizer", rebuilt.media, digits, rebuilt.labels, 0),
        *(("generated", spoken.media, spoken.sources, spoken.labels, index) for index in range(3)),
    ]
    figure = new_figure(
        15, 8.4, "Speech: held-out clips, through the tokenizer, and captions the model speaks", _NOTE
    )
    settings = {"left": 0.07, "right": 0.99, "top": 0.91, "bottom": 0.07, "hspace": 0.55, "wspace": 0.12}
    grid = figure.subplots(len(rows), 10, squeeze=False, gridspec_kw=settings)
    for axes_of_row, (name, clips, labels, classes, index) in zip(grid, rows):
        axes_of_row[0].text(
            -0.12, 0.5, name, transform=axes_of_row[0].transAxes, ha="right", va="center", fontsize=10
        )
        for digit, axes in enumerate(axes_of_row):
            found = np.flatnonzero(classes == digit)[index : index + 1]
            if not len(found):
                axes.set_axis_off()
                continue
            show_spectrogram(axes, clips[int(found[0])], wrapped(labels[int(found[0])], 22))
    return figure
