"""What the audio rows are made of: scores, Opus without its container, the EnCodec architecture as a codec, configs."""

import pytest
import torch

pytest.importorskip("av")
pytest.importorskip("torchmetrics")
pytest.importorskip("transformers")

from benchmarks.rate_distortion import audio  # noqa: E402
from benchmarks.rate_distortion.encodec_peer import encodec  # noqa: E402
from benchmarks.rate_distortion.opus import Opus  # noqa: E402
from benchmarks.rate_distortion.sounds import Sounds  # noqa: E402
from tokenizers_vq.audio.codec import WaveformCodec  # noqa: E402
from tokenizers_vq.quantizers import ResidualVQ  # noqa: E402

TIME = torch.arange(12_000) / 16_000
TONES = [0.4 * torch.sin(2 * torch.pi * hertz * TIME) * torch.hann_window(12_000) for hertz in (220.0, 440.0)]


@pytest.mark.parametrize("bits", [6_000, 16_000])
def test_opus_keeps_length_rate_and_place(bits):
    decoded, rate = Opus(bits).through(TONES[0])
    assert rate == bits
    assert len(decoded) >= len(TONES[0])
    score = Sounds("tones", TONES[:1], None).score([decoded])
    assert score["si_sdr_db"] > 5  # a delay would make noise of it


def test_scores_of_a_perfect_a_quieter_and_a_noisy_copy():
    noise = 0.1 * torch.randn(12_000, generator=torch.Generator().manual_seed(0))
    sounds = Sounds("tones", TONES, None)
    perfect, quiet = sounds.score(TONES), sounds.score([0.5 * x for x in TONES])
    noisy = sounds.score([torch.cat([x + noise, noise]) for x in TONES])
    assert perfect["mel_distance"] == 0
    assert 0 < quiet["mel_distance"] < noisy["mel_distance"]
    assert quiet["si_sdr_db"] > 40 > noisy["si_sdr_db"]
    assert "recognised" not in perfect


def test_digits_are_heard_beside_the_originals():
    pytest.importorskip("pocketsphinx")
    pytest.importorskip("espeakng_loader")
    from datamodules.corpora.digits.speech import synthesise
    from datamodules.corpora.digits.voices import VARIANTS

    spoken = synthesise(VARIANTS[:1])
    clips = [torch.from_numpy(spoken[digit]).clone() for digit in range(4)]
    sounds = Sounds("digits", clips, torch.arange(4))
    assert sounds.score(clips)["recognised_share"] == 1
    assert sounds.score([torch.zeros_like(clip) for clip in clips])["recognised_share"] == 0


@pytest.mark.parametrize("decoded", [TONES[:1], [TONES[0], TONES[1][:-1]]])
def test_missing_or_shortened_clips_are_refused(decoded):
    with pytest.raises(ValueError, match="expected 2 at least as long"):
        Sounds("tones", TONES, None).score(decoded)


def test_the_encodec_architecture_is_a_codec_that_learns():
    torch.manual_seed(0)
    codec = encodec(ResidualVQ(2, 16, 8, init="normal"), 40, num_filters=2).eval()
    assert codec.stride == 320
    sound = TONES[0][:3200]
    assert len(codec.decode(codec.encode([sound]))[0]) == 3200
    codec.train()([sound]).loss.backward()
    assert codec.last_layer().grad is not None


def test_the_configs_make_the_codec_and_its_peer():
    module = audio._module(0)
    codec = module.tokenizer
    assert isinstance(codec, WaveformCodec)
    peer = audio._peer_of(module, codec).tokenizer
    assert peer.spec.num_codebooks == codec.spec.num_codebooks
    assert peer.spec.stride == codec.spec.stride
