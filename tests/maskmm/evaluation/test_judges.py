import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits

from maskmm.evaluation.judges import NOTHING, ImageJudge, SpeechJudge, SpeechRecogniser


@pytest.fixture(scope="module")
def digits() -> tuple[torch.Tensor, torch.Tensor]:
    bunch = load_digits()
    images = F.interpolate(torch.from_numpy(bunch.images).float()[:, None] / 16, size=32, mode="bicubic")
    return images.clamp(0, 1), torch.from_numpy(bunch.target)


def test_image_judge_reads_held_out_digits(digits: tuple[torch.Tensor, torch.Tensor]) -> None:
    images, labels = digits
    judge = ImageJudge(images[::2], labels[::2])
    held_out = judge.predict(images[1::2])
    assert held_out.dtype == np.int64
    assert (held_out == labels[1::2].numpy()).mean() > 0.97
    assert judge.is_right(images[1::2], labels[1::2]).mean() == (held_out == labels[1::2].numpy()).mean()
    assert judge.predict(images[:0]).shape == (0,)


def test_image_judge_refuses_other_shapes(digits: tuple[torch.Tensor, torch.Tensor]) -> None:
    images, labels = digits
    judge = ImageJudge(images[:100], labels[:100])
    with pytest.raises(ValueError, match=r"\(3, 3, 32, 32\)"):
        judge.predict(torch.zeros(3, 3, 32, 32))
    with pytest.raises(ValueError, match="finite"):
        judge.predict(torch.full((1, 1, 32, 32), float("nan")))
    with pytest.raises(ValueError, match="labels of shape"):
        judge.is_right(images[:4], labels[:3])


def _glide(start: float, stop: float, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    count = int(torch.randint(3000, 6000, (1,), generator=generator))
    frequency = torch.linspace(start, stop, count) * (1 + 0.05 * torch.rand(1, generator=generator))
    return 0.5 * torch.sin(2 * torch.pi * frequency.cumsum(0) / 16_000)


def test_speech_judge_keeps_the_time_axis() -> None:
    """A rising and a falling tone have the same mean spectrum: only the order in time tells them apart."""
    clips = [_glide(300, 2000, s) if s % 2 else _glide(2000, 300, s) for s in range(40)]
    labels = torch.arange(40) % 2
    judge = SpeechJudge(clips[:30], labels[:30])
    assert judge.is_right(clips[30:], labels[30:]).all()


def test_recogniser_hears_nothing_in_silence_and_is_repeatable() -> None:
    recogniser = SpeechRecogniser()
    clips = [torch.zeros(8000), _glide(300, 2000, 0)]
    first = recogniser.predict(clips)
    assert first[0] == NOTHING
    assert (recogniser.predict(clips[::-1])[::-1] == first).all()
    assert recogniser.predict([]).shape == (0,)


@pytest.mark.parametrize("module", ["sklearn.svm", "skimage.feature"])
def test_missing_package_names_the_extra(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ValueError, match=r'pip install "maskmm\[corpora\]"'):
        ImageJudge(torch.rand(20, 1, 32, 32), torch.arange(20) % 2)


def test_missing_pocketsphinx_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pocketsphinx", None)
    with pytest.raises(ValueError, match=r'pip install "maskmm\[corpora\]"'):
        SpeechRecogniser()
