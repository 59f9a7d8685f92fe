import pytest
import torch

from tokenizers_vq.contract import load_tokenizer
from tokenizers_vq.quantizers import FSQ, LFQ, ProjectedQuantizer, ResidualVQ, VectorQuantizer
from tokenizers_vq.vision import VQGAN


def images(side=16, count=4):
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(0))


def made(**changes) -> VQGAN:
    torch.manual_seed(0)
    settings = {"quantizer": VectorQuantizer(16, 4), "image_size": 16, "width": 8, "multipliers": (1, 2)}
    return VQGAN(**(settings | {"num_blocks": 1} | changes))


@pytest.mark.parametrize(
    ("stem_stride", "multipliers", "downsample"),
    [
        (1, (1, 2, 2), 4),
        (2, (1, 2), 4),
        (4, (1, 2), 8),
        (1, (1, 1, 2, 2, 4), 16),
        (8, (1,), 8),
        (16, (1,), 16),
    ],
)
def test_downsampling_by_any_mixture(stem_stride, multipliers, downsample):
    tokenizer = made(image_size=(32, 48), stem_stride=stem_stride, multipliers=multipliers).eval()
    spec = tokenizer.spec
    assert (spec.grid, spec.stride) == ((32 // downsample, 48 // downsample), (downsample, downsample))
    media = torch.rand(2, 3, 32, 48)
    codes = tokenizer.encode(media)
    assert codes.shape == (2, *spec.grid, 1)
    assert tokenizer.decode(codes).shape == media.shape


@pytest.mark.parametrize(
    "quantizer",
    [lambda: ResidualVQ(3, 8, 4), lambda: ProjectedQuantizer(6, LFQ(8, num_codebooks=2))],
)
def test_any_quantizer_is_written_into_the_folder(quantizer, tmp_path):
    tokenizer = made(quantizer=quantizer())
    tokenizer.train()(images())
    tokenizer.eval().save(tmp_path)
    loaded = load_tokenizer(tmp_path)
    assert isinstance(loaded, VQGAN)
    assert torch.equal(loaded.encode(images()), tokenizer.encode(images()))
    assert loaded.spec.num_codebooks == tokenizer.quantizer.num_codebooks > 1


@pytest.mark.parametrize(
    ("quantizer", "count"),
    [
        (lambda: ResidualVQ(3, 8, 4), 3),
        (lambda: ProjectedQuantizer(6, FSQ((5, 3))), 1),
        (lambda: VectorQuantizer(16, 4), 1),
    ],
)
def test_code_vectors_are_what_decoding_starts_from(quantizer, count):
    tokenizer = made(quantizer=quantizer()).eval()
    vectors = tokenizer.code_vectors()
    assert vectors.shape == (count, tokenizer.spec.codebook_size, tokenizer.quantizer.dim)
    codes = tokenizer.encode(images())
    summed = sum(vectors[q][codes[..., q]] for q in range(count))
    torch.testing.assert_close(summed, tokenizer.code_latents(codes))
    assert made(quantizer=ProjectedQuantizer(6, LFQ(8, num_codebooks=2))).code_vectors() is None


def test_the_weights_of_another_tokenizer_are_refused(tmp_path):
    made().save(tmp_path / "one")
    made(width=16).save(tmp_path / "other")
    (tmp_path / "other" / "model.safetensors").replace(tmp_path / "one" / "model.safetensors")
    with pytest.raises(ValueError, match="weights of another tokenizer"):
        load_tokenizer(tmp_path / "one")


def test_several_resolutions_in_training():
    tokenizer = made(train_sizes=(16, 24, 8)).train()
    sides = [tokenizer(images()).reconstruction.shape[-1] for _ in range(12)]
    assert set(sides) == {16, 24, 8}
    again = made(train_sizes=(16, 24, 8)).train()
    again.load_state_dict(tokenizer.state_dict())
    later = [tokenizer(images()).reconstruction.shape[-1] for _ in range(6)]
    assert [again(images()).reconstruction.shape[-1] for _ in range(6)] == later
    assert tokenizer.eval()(images()).reconstruction.shape[-1] == 16


def test_the_same_weights_at_another_size(tmp_path):
    tokenizer = made()
    tokenizer.train()(images())
    larger = tokenizer.eval().at(32)
    assert (tokenizer.spec.grid, larger.spec.grid) == ((8, 8), (16, 16))
    assert not larger.training
    assert all(torch.equal(v, larger.state_dict()[k]) for k, v in tokenizer.state_dict().items())
    larger.save(tmp_path)
    assert load_tokenizer(tmp_path).spec == larger.spec
    with pytest.raises(ValueError, match="expected"):
        larger.encode(images(16))
    assert larger.decode(larger.encode(images(32))).shape == (4, 3, 32, 32)


def test_the_last_layer_makes_the_pixels():
    tokenizer = made().train()
    out = tokenizer(images())
    (gradient,) = torch.autograd.grad(out.reconstruction.sum(), tokenizer.last_layer())
    assert gradient.abs().sum() > 0
    assert tokenizer.last_layer().shape[0] == 3


def test_it_learns_a_few_images():
    media = (torch.rand(8, 3, 4, 4, generator=torch.Generator().manual_seed(1)) > 0.5).float()
    media = torch.nn.functional.interpolate(media, size=(16, 16))
    tokenizer = made(width=16, quantizer=VectorQuantizer(16, 8, decay=0.8), stem_stride=2).train()
    optimizer = torch.optim.Adam(tokenizer.parameters(), lr=5e-3)
    for _ in range(80):
        optimizer.zero_grad()
        tokenizer(media).loss.backward()
        optimizer.step()
    error = (tokenizer.eval().decode(tokenizer.encode(media)) - media).abs().mean()
    assert error < 0.15  # the mean image is 0.5 away


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"width": 12}, "widths"),
        ({"multipliers": ()}, "widths"),
        ({"num_blocks": -1}, "num_blocks"),
        ({"stem_stride": 3}, "stem_stride"),
        ({"image_size": 30, "stem_stride": 2}, "image_size"),
        ({"image_size": (16, 16, 16)}, "image_size"),
        ({"train_sizes": (18, 7)}, "image_size"),
        ({"channels": 2}, "channels"),
    ],
)
def test_wrong_arguments_are_named(wrong, named):
    with pytest.raises(ValueError, match=named):
        made(**wrong)
