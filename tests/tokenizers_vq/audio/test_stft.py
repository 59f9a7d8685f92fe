"""Fourier transforms of overlapping windows: the inverse against sums written out, causality, any length."""

import pytest
import torch

from tokenizers_vq.audio.stft import check_window, inverse_stft, stft

WINDOW = torch.hann_window(16)


def sound(size: int) -> torch.Tensor:
    return torch.randn(2, size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize("size", [40, 41, 43])
def test_frames_are_those_of_windows_cut_out_by_hand(size, is_causal):
    x_BT = sound(size)
    spectra = stft(x_BT, WINDOW, is_causal)
    assert spectra.shape == (2, 9, -(-size // 4))
    first = -12 if is_causal else -6
    for frame in range(spectra.shape[2]):
        places = range(first + 4 * frame, first + 4 * frame + 16)
        cut = torch.stack([x_BT[:, p] if 0 <= p < size else torch.zeros(2) for p in places], dim=1)
        torch.testing.assert_close(spectra[:, :, frame], torch.fft.rfft(cut * WINDOW), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("is_causal", [False, True])
def test_inverse_is_a_sum_of_windows(is_causal):
    spectra = torch.randn(2, 9, 5, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))
    whole = torch.zeros(2, 16 + 4 * 4)
    for frame in range(5):
        whole[:, 4 * frame : 4 * frame + 16] += torch.fft.irfft(spectra[:, :, frame], n=16) * WINDOW / 1.5
    first = 0 if is_causal else 6
    torch.testing.assert_close(inverse_stft(spectra, WINDOW, is_causal), whole[:, first : first + 20])


def test_there_and_back():
    x_BT = sound(80)
    y_BT = inverse_stft(stft(x_BT, WINDOW), WINDOW)
    torch.testing.assert_close(y_BT[:, 12:-12], x_BT[:, 12:-12], rtol=1e-4, atol=1e-4)


def test_gradients_reach_spectra():
    spectra = torch.randn(1, 9, 3, dtype=torch.complex64, requires_grad=True)
    inverse_stft(spectra, WINDOW).square().sum().backward()
    assert spectra.grad is not None and spectra.grad.abs().sum() > 0


@pytest.mark.parametrize("window", [0, 2, 18])
def test_windows_that_do_not_overlap_fourfold_are_refused(window):
    with pytest.raises(ValueError, match=f"window={window}"):
        check_window(window)
