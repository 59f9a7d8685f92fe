import numpy as np
import pytest
import torch
import torch.nn.functional as F

from maskmm.evaluation.log_mel import NUM_FRAMES, NUM_MELS, log_mel_features


def _noise(count: int, seed: int = 0) -> torch.Tensor:
    return 0.3 * torch.randn(count, generator=torch.Generator().manual_seed(seed))


def test_one_size_for_clips_of_any_length() -> None:
    features = log_mel_features([_noise(100), _noise(5000), _noise(16_000)])
    assert features.shape == (3, NUM_MELS * NUM_FRAMES)
    assert np.isfinite(features).all()
    assert log_mel_features([]).shape == (0, NUM_MELS * NUM_FRAMES)


def test_level_does_not_count() -> None:
    clip = _noise(6000)
    quiet, loud = log_mel_features([0.1 * clip, clip])
    assert quiet == pytest.approx(loud, abs=1e-3)


def test_silence_around_a_clip_changes_nothing() -> None:
    clip = _noise(6400)
    # 1280 samples are 10 whole hops: the frames fall on the same samples.
    bare, short, long = log_mel_features([clip, F.pad(clip, (1280, 1280)), F.pad(clip, (12_800, 6400))])
    assert bare == pytest.approx(short, abs=1e-4)
    assert bare == pytest.approx(long, abs=1e-4)


def test_silence_is_finite() -> None:
    assert np.isfinite(log_mel_features([torch.zeros(4000)])).all()


@pytest.mark.parametrize(
    ("clip", "message"),
    [
        (torch.zeros(0), "T >= 1"),
        (torch.zeros(1, 100), r"\(1, 100\)"),
        (torch.zeros(100, dtype=torch.int16), "int16"),
        (torch.tensor([0.0, float("nan")]), "NaN"),
    ],
)
def test_bad_clips_are_named(clip: torch.Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        log_mel_features([clip])
