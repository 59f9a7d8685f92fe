"""Encoder and decoder at the rate of frames: start, training, arguments. Lengths and causality: test_codec.py."""

import math

import pytest
import torch

from tokenizers_vq.audio.codec import WaveformCodec
from tokenizers_vq.audio.fourier import FourierDecoder, FourierEncoder
from tokenizers_vq.audio.multi_scale_mel import MultiScaleMel
from tokenizers_vq.quantizers import ResidualVQ


def codec() -> WaveformCodec:
    torch.manual_seed(0)
    sizes = {"frames": 2, "width": 32, "depth": 1}
    return WaveformCodec(
        ResidualVQ(2, 16, 8, decay=0.9),
        rate=1000,
        strides=(20,),
        encoder=FourierEncoder(8, 20, **sizes),
        decoder=FourierDecoder(8, 20, **sizes),
    )


def test_the_first_sound_is_nearly_silent():
    made = codec().eval()
    (sound,) = made.decode([torch.zeros(30, 2, dtype=torch.int64)])
    assert 0 < sound.square().mean().sqrt() < 0.1


def test_training_brings_the_spectrogram_near():
    made, mel = codec().train(), MultiScaleMel(1000, windows=(32, 64), num_mels=(8, 16))
    time = torch.arange(400) / 1000
    sounds = torch.stack([0.5 * torch.sin(2 * math.pi * hertz * time) for hertz in (40, 90, 150, 220)])
    optimizer = torch.optim.Adam(made.parameters(), lr=3e-3)
    distances = []
    for _ in range(60):
        out = made(sounds)
        distance = mel.distance(out.reconstruction, out.target)
        optimizer.zero_grad()
        (out.loss + distance).backward()
        optimizer.step()
        distances.append(distance.item())
    assert sum(distances[-5:]) < 0.5 * sum(distances[:5])
    assert made.last_layer().grad is not None


def test_half_precision_transforms_in_full():
    made = codec().eval()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = made(torch.rand(2, 100) - 0.5)
    assert out.reconstruction.dtype == torch.float32
    assert torch.isfinite(out.reconstruction).all()


@pytest.mark.parametrize("kind", [FourierEncoder, FourierDecoder])
@pytest.mark.parametrize(
    "changes",
    [
        {"dim": 0},
        {"frames": 3},
        {"frames": 0},
        {"kernel_size": 4},
        {"depth": 0},
        {"width": 0},
        {"expansion": 0},
    ],
)
def test_bad_settings_are_refused(kind, changes):
    with pytest.raises(ValueError, match="expected"):
        kind(**({"dim": 4, "stride": 20} | changes))
