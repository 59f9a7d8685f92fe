"""Spectral distance of waveforms: agreement with a Fourier transform written out, gradients, bad input."""

import cmath
import math

import pytest
import torch
import torchaudio.functional as audio

from tokenizers_vq.audio.multi_scale_mel import MultiScaleMel
from tokenizers_vq.audio.stft import stft


def sound(size: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(2, 1, size, generator=torch.Generator().manual_seed(seed)) - 0.5


def naive_stft(x: list[float], window: list[float]) -> list[list[complex]]:
    """Frames by bands; the frames' middles lie half a hop after the multiples of the hop."""
    width, hop = len(window), len(window) // 4
    frames = []
    for frame in range(math.ceil(len(x) / hop)):
        first = frame * hop - (width - hop) // 2
        taken = [x[first + k] if 0 <= first + k < len(x) else 0.0 for k in range(width)]
        frames.append(
            [
                sum(
                    v * w * cmath.exp(-2j * math.pi * f * k / width)
                    for k, (v, w) in enumerate(zip(taken, window))
                )
                for f in range(width // 2 + 1)
            ]
        )
    return frames


@pytest.mark.parametrize("size", [1, 8, 29, 32])
def test_spectra_agree_with_sums_written_out(size):
    window = torch.hann_window(16)
    x = sound(size)[:, 0]
    said = stft(x, window)
    right = torch.tensor([naive_stft(row.tolist(), window.tolist()) for row in x]).transpose(1, 2)
    torch.testing.assert_close(said, right.to(said.dtype), atol=1e-5, rtol=1e-4)


def test_it_is_the_sum_over_windows_of_log_mel_distances():
    compare = MultiScaleMel(1000, (16, 64), (3, 6), weight=2.0)
    a, b = sound(200), sound(200, 1)
    total = 0.0
    for width, mels in ((16, 3), (64, 6)):
        bank = audio.melscale_fbanks(width // 2 + 1, 0.0, 500.0, mels, 1000)
        logs = [
            (stft(x[:, 0], torch.hann_window(width)).abs().transpose(1, 2) @ bank).clamp(min=1e-5).log10()
            for x in (a, b)
        ]
        total += (logs[0] - logs[1]).abs().mean()
    torch.testing.assert_close(compare(a, b), 2 * total)
    torch.testing.assert_close(compare.distance(a, b), total)
    assert compare.distance(a, a) == 0


def test_gradients_are_finite_and_scales_are_heard():
    compare = MultiScaleMel()
    target = sound(4000)
    silent = torch.zeros(2, 1, 4000, requires_grad=True)
    quiet = (0.5 * target).requires_grad_()
    for made in (silent, quiet):
        compare(made, target).backward()
        assert made.grad is not None and made.grad.isfinite().all()
    near, far = compare.distance(0.9 * target, target), compare.distance(0.3 * target, target)
    assert near < far
    assert not compare.state_dict()


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="as many of both"):
        MultiScaleMel(windows=(32, 64), num_mels=(5,))
    with pytest.raises(ValueError, match="multiple of 4"):
        MultiScaleMel(windows=(30,), num_mels=(5,))
    with pytest.raises(ValueError, match="expected"):
        MultiScaleMel()(sound(400)[:, 0], sound(400)[:, 0])
