import math

import torch

from tokenizers_vq.audio.spectrogram import LogMel


def tone(frequency, size=6400, loudness=0.5):
    return loudness * torch.sin(2 * math.pi * frequency * torch.arange(size) / 16000)


def test_frames_are_centred_and_as_many_as_hops():
    click = torch.zeros(1, 1600)
    click[0, 5 * 160 + 80] = 1.0
    mel = LogMel()(click)
    assert mel.shape == (1, 80, 10)
    assert int(mel.sum(dim=1).argmax()) == 5


def test_silence_is_the_floor_and_loud_sound_lies_about_one():
    spectrogram = LogMel()
    assert torch.equal(spectrogram(torch.zeros(1, 1600)), torch.full((1, 80, 10), -1.0))
    assert 0.5 < float(spectrogram(tone(440)[None]).max()) < 1.5


def test_silence_comes_back_as_silence():
    spectrogram = LogMel()
    assert spectrogram.invert(torch.full((1, 80, 10), -1.0)).abs().max() < 1e-3


def test_a_tone_comes_back_at_its_pitch_and_loudness():
    spectrogram = LogMel()
    sound = spectrogram.invert(spectrogram(tone(1000)[None]))[0]
    assert sound.shape == (6400,)
    spectrum = torch.fft.rfft(sound[1600:4800]).abs()
    assert abs(int(spectrum.argmax()) * 16000 / 3200 - 1000) < 60
    assert 0.2 < float(sound[1600:4800].abs().max()) <= 1
