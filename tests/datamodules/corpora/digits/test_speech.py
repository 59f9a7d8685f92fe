import sys
from pathlib import Path

import numpy as np
import pytest

from datamodules.corpora.digits.recogniser import DigitRecogniser
from datamodules.corpora.digits.speech import SAMPLE_RATE, clean, load_or_synthesise, synthesise
from datamodules.corpora.digits.voices import TIMBRES, VARIANTS

FEW = VARIANTS[:3]


def test_table_of_voices() -> None:
    assert len(set(VARIANTS)) == len(VARIANTS) == 192
    assert len(TIMBRES) == 32
    assert all(80 <= v.rate <= 450 and 0 <= v.pitch <= 99 for v in VARIANTS)


def test_same_sequence_same_samples_in_one_process() -> None:
    first, second = synthesise(FEW), synthesise(FEW)
    assert np.array_equal(first.samples, second.samples) and np.array_equal(first.offsets, second.offsets)


def test_clips_are_trimmed_normalised_and_heard() -> None:
    clips, ear = synthesise(FEW), DigitRecogniser()
    assert len(clips) == 30
    for index in range(len(clips)):
        clip = clips[index]
        assert clip.dtype == np.float32 and 0.1 < len(clip) / SAMPLE_RATE < 1.0
        assert np.abs(clip).max() == pytest.approx(0.9, abs=1e-6)
        assert np.abs(clip[:200]).max() > 0.015 and np.abs(clip[-200:]).max() > 0.015
    heard = [ear.recognise(clips[index]) == index % 10 for index in range(len(clips))]
    assert np.mean(heard) >= 0.85


def test_recogniser_hears_nothing_in_noise() -> None:
    noise = np.random.default_rng(0).normal(0, 0.2, (20, 8000)).astype(np.float32)
    ear = DigitRecogniser()
    heard = [ear.recognise(clip) for clip in noise]
    assert heard == [ear.recognise(clip) for clip in noise]
    assert len({digit for digit in heard if digit is not None}) <= 3


def test_cache_is_used_and_equal(tmp_path: Path) -> None:
    made = load_or_synthesise(FEW, tmp_path)
    (file,) = tmp_path.iterdir()
    before = file.stat().st_mtime_ns
    again = load_or_synthesise(FEW, tmp_path)
    assert file.stat().st_mtime_ns == before and [file] == list(tmp_path.iterdir())
    assert np.array_equal(made.samples, again.samples) and np.array_equal(made.offsets, again.offsets)
    load_or_synthesise(VARIANTS[3:4], tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


def test_truncated_cache_is_named(tmp_path: Path) -> None:
    load_or_synthesise(FEW, tmp_path)
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(ValueError, match=f"{file.name} is no readable cache"):
        load_or_synthesise(FEW, tmp_path)


def test_clean_cuts_silence_and_resamples() -> None:
    silence = np.zeros(22_050, dtype=np.float32)
    tone = 0.1 * np.sin(np.arange(11_025) * 0.1).astype(np.float32)
    clip = clean(np.concatenate([silence, tone, silence]), 22_050)
    assert len(clip) / SAMPLE_RATE == pytest.approx(0.51, abs=0.01)
    assert np.abs(clip).max() == pytest.approx(0.9)
    with pytest.raises(ValueError, match="only silence"):
        clean(silence, 22_050)


def test_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(ValueError, match=r'espeakng-loader: pip install "maskmm\[corpora\]"'):
        synthesise(FEW)
    monkeypatch.setitem(sys.modules, "pocketsphinx", None)
    with pytest.raises(ValueError, match=r'pocketsphinx: pip install "maskmm\[corpora\]"'):
        DigitRecogniser()
