"""Wrapped models: the same codes and media as the models' own methods give, with rates and ranges settled."""

from __future__ import annotations

import pytest
import torch
from torchaudio.functional import resample

pytest.importorskip("transformers")
pytest.importorskip("diffusers")

from tests.tokenizers_vq.pretrained import tiny  # noqa: E402
from tokenizers_vq.pretrained import (  # noqa: E402
    PretrainedDac,
    PretrainedEncodec,
    PretrainedMimi,
    PretrainedVQModel,
    public,
)

CLIP = torch.rand(2003, generator=torch.Generator().manual_seed(0)) - 0.5
CODECS = [tiny.encodec, tiny.dac, tiny.mimi]


@torch.no_grad()
def own_codes(codec, clip: torch.Tensor) -> torch.Tensor:
    """(Q, n) as its package encodes a clip."""
    values = clip[None, None]
    if isinstance(codec, PretrainedEncodec):
        return codec.model.encode(values, bandwidth=24.0, return_dict=True).audio_codes[0, 0]
    if isinstance(codec, PretrainedMimi):
        return codec.model.encode(values, return_dict=True).audio_codes[0]
    import transformers

    extractor = transformers.DacFeatureExtractor(sampling_rate=16000, hop_length=8)
    values = extractor(clip.numpy(), sampling_rate=16000, return_tensors="pt")["input_values"]
    return codec.model.encode(values).audio_codes[0]


@torch.no_grad()
def own_clip(codec, codes: torch.Tensor) -> torch.Tensor:
    if isinstance(codec, PretrainedEncodec):
        return codec.model.decode(codes[None, None], [None]).audio_values[0, 0]
    if isinstance(codec, PretrainedMimi):
        return codec.model.decode(codes[None]).audio_values[0, 0]
    return codec.model.decode(audio_codes=codes[None]).audio_values[0]


@pytest.mark.parametrize("make", CODECS)
def test_a_codec_gives_what_the_model_gives(make):
    codec = make()
    (codes,) = codec.encode([CLIP])
    assert torch.equal(codes.T, own_codes(codec, CLIP))
    assert codes.unique().numel() > 1
    (clip,) = codec.decode([codes])
    assert torch.equal(clip, own_clip(codec, codes.T).clamp(-1, 1)[: len(clip)])
    assert len(CLIP) <= len(clip) < len(CLIP) + codec.spec.stride[0]
    assert not codec.train().model.training


@pytest.mark.parametrize("make", CODECS)
def test_fewer_codebooks_are_the_first_ones(make):
    (few,), (all_of_them,) = make(num_codebooks=2).encode([CLIP]), make().encode([CLIP])
    assert torch.equal(few, all_of_them[:, :2])
    assert make(num_codebooks=2).code_vectors().shape[:2] == (2, 16)
    for wrong in (0, 4):
        with pytest.raises(ValueError, match="expected 1 to 3"):
            make(num_codebooks=wrong)


def test_semantic_codebooks_are_not_left_out():
    config = tiny.mimi().config()["config"] | {"num_semantic_quantizers": 2}
    with pytest.raises(ValueError, match="num_codebooks=1, expected 2 to 3"):
        PretrainedMimi(config, num_codebooks=1)


@pytest.mark.parametrize("make", CODECS)
def test_decoding_from_the_first_codebooks_alone(make):
    codec, few = make(), make(num_codebooks=2)
    (codes,) = codec.encode([CLIP])
    (sound,) = codec.decode([codes[:, :2]])
    assert torch.equal(sound, few.decode([codes[:, :2]])[0])
    assert not torch.equal(sound, codec.decode([codes])[0])
    for bad in (codes[:, :0], torch.cat([codes] * 3, dim=1)):
        with pytest.raises(ValueError, match="codebooks, expected 1 to"):
            codec.decode([bad])


@pytest.mark.parametrize("make", CODECS)
def test_another_rate_is_resampled_where_it_is_asked_for(make):
    plain, asked = make(), make(resample_from=8000)
    assert plain.spec.rate == 16000
    assert asked.spec.rate == 8000
    assert asked.spec.stride[0] == plain.spec.stride[0] / 2
    slow = CLIP[:1000]
    (codes,) = asked.encode([slow])
    assert torch.equal(codes, plain.encode([resample(slow, 8000, 16000)])[0])
    assert len(asked.decode([codes])[0]) == len(codes) * asked.spec.stride[0]
    with pytest.raises(ValueError, match="resample_from=-1"):
        make(resample_from=-1)


@pytest.mark.parametrize(
    "make, kind",
    [(tiny.encodec, PretrainedEncodec), (tiny.dac, PretrainedDac), (tiny.mimi, PretrainedMimi)],
)
def test_a_public_folder(make, kind, tmp_path):
    codec = make()
    codec.model.save_pretrained(tmp_path)
    loaded = kind.from_public(tmp_path, max_length=800)
    assert torch.equal(loaded.encode([CLIP])[0], codec.encode([CLIP])[0])
    assert loaded.spec == codec.spec


def test_a_public_folder_of_images(tmp_path):
    tokenizer = tiny.vq_model()
    tokenizer.model.save_pretrained(tmp_path / "vqvae")
    loaded = PretrainedVQModel.from_public(tmp_path, 16, subfolder="vqvae")
    images = torch.rand(2, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    assert torch.equal(loaded.encode(images), tokenizer.encode(images))
    assert PretrainedVQModel.from_public(tmp_path / "vqvae", (16, 32)).spec.grid == (8, 16)
    with pytest.raises(ValueError, match="multiples of the 2"):
        PretrainedVQModel.from_public(tmp_path / "vqvae", 15)


@pytest.mark.parametrize("lookup, low", [(False, -1.0), (True, 0.0)])
@torch.no_grad()
def test_images_give_what_the_model_gives(lookup, low):
    tokenizer = tiny.vq_model(lookup_from_codebook=lookup)
    images = torch.rand(3, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    pixels = images * (1 - low) + low
    model = tokenizer.model
    latents = model.encode(pixels).latents
    codes = tokenizer.encode(images)
    assert torch.equal(codes.flatten(), model.quantize(latents)[2][2])
    own = model.decode(latents, shape=None).sample
    torch.testing.assert_close(tokenizer.decode(codes), ((own - low) / (1 - low)).clamp(0, 1))


def test_weights_that_are_missing_are_named(tmp_path):
    from safetensors.torch import load_file, save_file

    tiny.dac().model.save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    del weights["quantizer.quantizers.1.codebook.weight"]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"quantizers\.1\.codebook\.weight"):
        PretrainedDac.from_public(tmp_path)
    with pytest.raises(ValueError, match="cannot be read as a DacModel"):
        PretrainedDac.from_public(tmp_path / "nothing")


def test_a_codec_whose_codes_are_not_all_is_refused():
    config = tiny.encodec().config()["config"]
    with pytest.raises(ValueError, match="normalize=True"):
        PretrainedEncodec({**config, "normalize": True})


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(public.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"maskmm\[peers\]"):
        public.public_class("transformers", "DacModel")
