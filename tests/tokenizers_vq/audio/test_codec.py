"""The waveform codec: lengths, causality, independence of what else is in the batch, gradients."""

import math

import pytest
import torch

from tokenizers_vq.audio.codec import WaveformCodec
from tokenizers_vq.audio.fourier import FourierDecoder, FourierEncoder
from tokenizers_vq.contract import load_tokenizer
from tokenizers_vq.layers.padded_convolution import PaddedConv, PaddedUpsampling
from tokenizers_vq.quantizers import (
    GradientVQ,
    GroupedQuantizer,
    ProjectedQuantizer,
    ResidualQuantizer,
    ResidualVQ,
    VectorQuantizer,
)


def codec(**changes) -> WaveformCodec:
    torch.manual_seed(0)
    settings = {"strides": (2, 5), "width": 4, "dilations": (1, 3), "max_length": 40, "rate": 1000}
    quantizer = changes.pop("quantizer", None) or ResidualVQ(2, 16, 8, init="normal")
    if changes.pop("is_fourier", False):
        sizes = {"frames": 2, "width": 8, "is_causal": changes.get("is_causal", False)}
        changes["encoder"] = FourierEncoder(8, 10, depth=2, **sizes)
        changes["decoder"] = FourierDecoder(8, 10, depth=1, **sizes)
    return WaveformCodec(quantizer, **(settings | changes)).eval()


def clip(size: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(size, generator=torch.Generator().manual_seed(seed)) - 0.5


KINDS = [
    {},
    {"is_causal": True},
    {"is_causal": True, "activation": "elu", "num_recurrent": 1, "squeeze": 2, "dilations": (1,)},
    {"strides": (3, 1, 4), "decoder_width": 16},
    {"is_fourier": True},
    {"is_fourier": True, "is_causal": True},
]


@pytest.mark.parametrize("changes", KINDS)
@pytest.mark.parametrize("size", [12, 59, 60, 61, 239])
def test_lengths_are_those_of_whole_tokens(changes, size):
    made = codec(**changes)
    codes = made.encode([clip(size)])
    assert codes[0].shape == (math.ceil(size / made.stride), 2)
    assert made.decode(codes)[0].shape == (codes[0].shape[0] * made.stride,)


@pytest.mark.parametrize("changes", KINDS)
def test_a_clip_gives_the_same_alone_and_in_a_batch(changes):
    made = codec(**changes)
    clips = [clip(12), clip(131, 1), clip(240, 2)]
    codes = made.encode(clips)
    for index, (one, sound) in enumerate(zip(clips, made.decode(codes))):
        alone = made.encode([one])
        assert torch.equal(alone[0], codes[index])
        torch.testing.assert_close(made.decode(alone)[0], sound)
    padded = torch.nn.utils.rnn.pad_sequence(clips, batch_first=True, padding_value=0.3)
    for a, b in zip(made.encode(padded, torch.tensor([12, 131, 240])), codes):
        assert torch.equal(a, b)


def latents(made, sound):
    return made.encoder(sound[None, None], torch.ones(1, 1, len(sound)))[0]


@pytest.mark.parametrize("changes", [kind for kind in KINDS if kind.get("is_causal")])
@pytest.mark.parametrize("token", [1, 7, 11])
def test_the_future_changes_nothing_in_a_causal_codec(changes, token):
    made = codec(**changes)
    sound, other = clip(120), clip(120)
    other[10 * token :] = clip(120 - 10 * token, 5)
    a, b = latents(made, sound), latents(made, other)
    torch.testing.assert_close(a[:, :token], b[:, :token], rtol=0, atol=1e-6)
    assert not torch.allclose(a[:, token], b[:, token], atol=1e-4)
    codes = torch.randint(16, (12, 2), generator=torch.Generator().manual_seed(0))
    changed = codes.clone()
    changed[token:] = (changed[token:] + 5) % 16
    (x,), (y,) = made.decode([codes]), made.decode([changed])
    torch.testing.assert_close(x[: 10 * token], y[: 10 * token], rtol=0, atol=1e-6)
    assert not torch.allclose(x[10 * token :], y[10 * token :], atol=1e-4)


def test_a_codec_that_is_not_causal_looks_ahead():
    made, sound, other = codec(), clip(120), clip(120)
    other[60:] = 0
    assert not torch.allclose(latents(made, sound)[:, 5], latents(made, other)[:, 5], atol=1e-5)


@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize("stride", [1, 2, 3, 5])
def test_convolutions_agree_with_sums_written_out(stride, is_causal):
    torch.manual_seed(0)
    down = PaddedConv(1, 1, 2 * stride, stride, is_causal=is_causal, is_normed=False)
    x = torch.randn(1, 1, 4 * stride)
    left = stride if is_causal else stride - stride // 2
    kernel, bias = down.conv.weight[0, 0], down.conv.bias[0]
    said = down(x, torch.ones_like(x))[0, 0]
    for n in range(4):
        places = [n * stride - left + k for k in range(2 * stride)]
        total = sum(kernel[k] * x[0, 0, p] for k, p in enumerate(places) if 0 <= p < 4 * stride)
        torch.testing.assert_close(said[n], total + bias)
    up = PaddedUpsampling(1, 1, stride, is_causal=is_causal)
    latent = torch.randn(1, 1, 4)
    whole = torch.zeros(5 * stride) + up.conv.bias
    for n in range(4):
        whole[n * stride : (n + 2) * stride] += up.conv.weight[0, 0] * latent[0, 0, n]
    first = 0 if is_causal else stride - stride // 2
    torch.testing.assert_close(up(latent, torch.ones_like(latent))[0, 0], whole[first : first + 4 * stride])


def test_padding_is_no_part_of_the_loss():
    made = codec()
    alone = made([clip(120)])
    padded = made(torch.nn.functional.pad(clip(120), (0, 80))[None], torch.tensor([120]))
    torch.testing.assert_close(alone.loss, padded.loss)
    pair = made([clip(60), clip(120)])
    assert pair.target.shape == pair.reconstruction.shape == (2, 1, 120)
    assert not pair.reconstruction[0, :, 60:].any()
    assert pair.codes.shape == (18, 2)


def test_training_lowers_the_error():
    levels = [ProjectedQuantizer(8, GradientVQ(16, 4, metric="cosine", seed=seed)) for seed in range(2)]
    made = codec(quantizer=ResidualQuantizer(levels, quantizer_dropout=0.5), width=8).train()
    time = torch.arange(400) / 1000
    sounds = torch.stack([0.5 * torch.sin(2 * math.pi * hertz * time) for hertz in (20, 35, 50, 80)])
    optimizer = torch.optim.Adam(made.parameters(), lr=5e-3)
    errors = []
    for _ in range(60):
        out = made(sounds)
        optimizer.zero_grad()
        out.loss.backward()
        optimizer.step()
        errors.append(out.parts["reconstruction"].item())
    assert sum(errors[-5:]) < 0.5 * sum(errors[:5])
    assert made.last_layer().grad is not None


@pytest.mark.parametrize(
    "changes",
    [
        {"strides": ()},
        {"strides": (2, 0)},
        {"dilations": ()},
        {"width": 0},
        {"kernel_size": 4},
        {"activation": "relu"},
        {"decoder_width": 6},
        {"num_recurrent": -1},
        {"encoder": FourierEncoder(8, 20)},
        {"decoder": FourierDecoder(4, 10)},
    ],
)
def test_bad_settings_are_refused(changes):
    with pytest.raises(ValueError, match="expected|must be"):
        codec(**changes)


def test_fewer_codebooks_are_the_first_ones():
    made = codec(quantizer=ResidualVQ(3, 16, 8, init="normal"))
    codes = made.encode([clip(60), clip(110, 1)])
    short = made.decode([one[:, :2] for one in codes])
    for sound, one in zip(short, codes):
        latents = made.quantizer.decode(one[None, :, :2]).transpose(1, 2)
        alone = made.decoder(latents, torch.ones(1, 1, len(one)))[0, 0].clamp(-1, 1)
        torch.testing.assert_close(sound, alone)
    assert not torch.equal(short[0], made.decode(codes)[0])


@pytest.mark.parametrize("count", [0, 4])
def test_no_codebook_or_too_many_are_refused(count):
    made = codec(quantizer=ResidualVQ(3, 16, 8, init="normal"))
    with pytest.raises(ValueError, match=f"of {count} codebooks, expected 1 to 3"):
        made.decode([torch.zeros(5, count, dtype=torch.int64)])


def test_batches_of_different_codebooks_are_refused():
    made = codec(quantizer=ResidualVQ(3, 16, 8, init="normal"))
    with pytest.raises(ValueError, match="expected"):
        made.decode([torch.zeros(5, 2, dtype=torch.int64), torch.zeros(5, 3, dtype=torch.int64)])


def test_levels_that_do_not_add_up_are_all_needed():
    made = codec(quantizer=GroupedQuantizer([VectorQuantizer(16, 4, init="normal") for _ in range(2)]))
    with pytest.raises(ValueError, match="of 1 codebooks, expected 2 to 2"):
        made.decode([torch.zeros(5, 1, dtype=torch.int64)])


def test_a_folder_keeps_the_parts(tmp_path):
    made = codec(is_fourier=True)
    made.save(tmp_path)
    loaded = load_tokenizer(tmp_path)
    assert isinstance(loaded.decoder, FourierDecoder)
    codes = made.encode([clip(130)])
    assert torch.equal(loaded.encode([clip(130)])[0], codes[0])
    assert torch.equal(loaded.decode(codes)[0], made.decode(codes)[0])
