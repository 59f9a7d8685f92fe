"""Chooses the table in voices.py: `python -m datamodules.corpora.digits.select_voices --out table.txt`.

About four minutes on one core. The table is measured once and then written into the source, so that the
corpus does not change with the recogniser's version.
"""

from __future__ import annotations

import argparse
import importlib
import logging
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import numpy as np
import torch
import torchaudio
from numpy.typing import NDArray

from datamodules.corpora.digits.recogniser import DigitRecogniser
from datamodules.corpora.digits.speech import SAMPLE_RATE, Clips, synthesise
from datamodules.corpora.digits.voices import BASES, Variant
from tokenizers_vq.contract import Key

RATES, PITCHES = (140, 175, 220), (30, 50, 75)
MIN_TIMBRE_ACCURACY, MIN_ACCURACY = 0.85, 0.9
MIN_DISTANCE = 1.0
VARIANTS_PER_TIMBRE = 6

log = logging.getLogger(__name__)


def all_timbres() -> list[str]:
    """Names of all timbres that eSpeak NG brings, without those that hold a space."""
    folder = Path(importlib.import_module("espeakng_loader").get_data_path()) / "voices" / "!v"
    return sorted(path.name for path in folder.iterdir() if " " not in path.name)


def accuracies(clips: Clips) -> NDArray[np.float64]:
    """(V,) share of the ten digits that the recogniser hears right, for each variant."""
    ear = DigitRecogniser()
    is_right = [ear.recognise(clips[index]) == index % 10 for index in range(len(clips))]
    return np.asarray(is_right, dtype=np.float64).reshape(-1, 10).mean(axis=1)


def log_mel(clips: Clips) -> NDArray[np.float32]:
    """(V, F): log-mel of the ten digits, each stretched to 32 frames of 40 bands."""
    mel = torchaudio.transforms.MelSpectrogram(SAMPLE_RATE, n_fft=512, hop_length=128, n_mels=40)
    rows = []
    for index in range(len(clips)):
        frames = torch.log(mel(torch.from_numpy(clips[index])) + 1e-3)
        rows.append(torch.nn.functional.interpolate(frames[None], 32, mode="linear")[0].flatten())
    return torch.stack(rows).reshape(len(clips) // 10, -1).numpy()


def without_twins(timbres: Sequence[str]) -> list[str]:
    """Drop a timbre that sounds like an earlier one, so that a split by timbre separates voices in fact."""
    features = log_mel(synthesise([Variant(timbre, BASES[0], 175, 50) for timbre in timbres]))
    kept: list[int] = []
    for index, feature in enumerate(features):
        distance = np.sqrt(np.square(features[kept] - feature).mean(axis=1))
        if distance.min(initial=np.inf) >= MIN_DISTANCE:
            kept.append(index)
        else:
            log.info("%s sounds like %s", timbres[index], timbres[kept[int(distance.argmin())]])
    return [timbres[index] for index in kept]


def choose() -> dict[str, list[Variant]]:
    """At most VARIANTS_PER_TIMBRE variants of each timbre that the recogniser hears well, best first."""
    plain = [Variant(timbre, base, 175, 50) for timbre, base in product(all_timbres(), BASES)]
    by_timbre = accuracies(synthesise(plain)).reshape(-1, len(BASES)).mean(axis=1)
    heard = [timbre for timbre, value in zip(all_timbres(), by_timbre) if value >= MIN_TIMBRE_ACCURACY]
    timbres = without_twins(heard)
    log.info("%d timbres heard well, %d without twins", len(heard), len(timbres))
    grid = [Variant(*choice) for choice in product(timbres, BASES, RATES, PITCHES)]
    accuracy = accuracies(synthesise(grid))
    # Among equals the order is hashed, so that no rate, pitch or base is preferred.
    tie = Key(0).fold("voices").uniform(torch.arange(len(grid))).numpy()
    chosen: dict[str, list[Variant]] = {}
    for index in np.lexsort((tie, -accuracy)):
        mine = chosen.setdefault(grid[index].timbre, [])
        if accuracy[index] >= MIN_ACCURACY and len(mine) < VARIANTS_PER_TIMBRE:
            mine.append(grid[index])
    return {timbre: chosen[timbre] for timbre in timbres if chosen[timbre]}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, choose and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="text file to write")
    out: Path = parser.parse_args(arguments).out
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(1)
    lines = [
        f"{timbre}: " + " ".join(f"{v.base}/{v.rate}/{v.pitch}" for v in sorted(variants))
        for timbre, variants in choose().items()
    ]
    out.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
