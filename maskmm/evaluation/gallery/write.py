"""Writes the gallery folder, whole or not at all."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import soundfile
from torch import Tensor

from maskmm.evaluation.digits.samples import Judged, Samples
from maskmm.evaluation.gallery import sheets
from maskmm.evaluation.gallery.choose import first_of_each
from maskmm.evaluation.gallery.overview import overview
from maskmm.evaluation.gallery.page import Sound, page
from maskmm.evaluation.gallery.spectrograms import speech
from maskmm.evaluation.log_mel import SAMPLE_RATE
from maskmm.evaluation.scores import Scores

OVERVIEW = "gallery.png"
PAGE = "index.html"
_PICTURES = (
    (overview, "Overview", OVERVIEW),
    (sheets.text_to_image, "Captions to images", "text_to_image.png"),
    (sheets.image_to_text, "Held-out images to captions", "image_to_text.png"),
    (sheets.inpainting, "Inpainting", "inpainting.png"),
    (sheets.unconditional, "Unconditional images", "unconditional.png"),
    (sheets.image_alone, "Images without a caption", "image_alone.png"),
    (sheets.reconstructions, "Image reconstructions", "reconstructions.png"),
    (speech, "Speech", "speech.png"),
)


def write_gallery(folder: Path | str, samples: Samples, scores: Scores | None = None) -> None:
    """Draw the pictures, write the clips as WAV files and one page that links them all.

    Args:
        folder: where to; an earlier gallery there is replaced.
        samples: what was generated.
        scores: shown on the page, where given.

    Raises:
        ValueError: `folder` holds something that is no gallery.
    """
    folder = Path(folder)
    if folder.exists() and any(folder.iterdir()) and not (folder / PAGE).is_file():
        raise ValueError(
            f"{folder} holds files but no {PAGE}: not a gallery to replace; choose another folder"
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as scratch:
        partial = Path(scratch, "gallery")
        partial.mkdir()
        for draw, _, file in _PICTURES:
            draw(samples).savefig(partial / file)
        sounds = _write_sounds(partial, samples)
        pictures = [(title, file) for _, title, file in _PICTURES]
        (partial / PAGE).write_text(page(pictures, sounds, scores))
        if folder.exists():
            shutil.rmtree(folder)
        partial.replace(folder)


def _write_sounds(folder: Path, samples: Samples) -> list[Sound]:
    (folder / "wav").mkdir()
    s = samples
    spoken, seen, rebuilt = s.text_to_speech, s.image_to_speech, s.speech_reconstructions
    heard = [f"{label}; read as “{text}”" for label, text in zip(rebuilt.labels, s.speech_to_text.media)]
    digits = [f"an image of a {label}" for label in seen.labels]
    return [
        *_save(folder, "Captions to speech", "text_to_speech", spoken, spoken.media, spoken.sources, 2),
        *_save(folder, "Held-out images to speech", "image_to_speech", seen, seen.media, digits, 1),
        *_save(folder, "Held-out clips to captions", "held_out", rebuilt, rebuilt.sources, heard, 1),
        *_save(folder, "Held-out clips through the tokenizer", "tokenizer", rebuilt, rebuilt.media, heard, 1),
    ]


def _save(
    folder: Path, group: str, stem: str, made: Judged, clips: list[Tensor], texts: list[str], count: int
) -> list[Sound]:
    sounds = []
    for place, row in enumerate(first_of_each(made.labels, count).tolist()):
        file = f"wav/{stem}_{made.labels[row]}_{place % count}.wav"
        waveform = clips[row].detach().cpu().clamp(-1, 1).numpy()
        soundfile.write(folder / file, waveform, SAMPLE_RATE, subtype="PCM_16")
        sounds.append(Sound(group, texts[row], file))
    return sounds
