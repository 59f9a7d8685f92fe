import pytest
import torch

from tests.reference.naive_open_magvit2 import NaiveOpenMagvit2
from tokenizers_vq.contract import load_tokenizer
from tokenizers_vq.pretrained import load_open_magvit2

IMAGES = torch.rand(2, 3, 16, 24, generator=torch.Generator().manual_seed(0))
SIZE = (16, 24)


@pytest.fixture
def twin():
    """With weights for every name."""
    twin = NaiveOpenMagvit2()
    twin.decode(twin.encode(IMAGES))
    return twin


def as_published(weights, averages):
    """A Lightning checkpoint's tensors: weights, averages under names without dots, the losses' networks."""
    named = {"model_ema." + name.replace(".", ""): value for name, value in averages.items()}
    others = {
        "loss.discriminator.main.0.weight": torch.zeros(1),
        "model_ema.decay": torch.tensor(0.999),
        "model_ema.num_updates": torch.tensor(3),
        "model_ema.lossdiscriminatormain0weight": torch.zeros(1),
    }
    return {"state_dict": weights | named | others, "epoch": 3}


def test_codes_and_images_agree_with_the_naive_twin(twin, tmp_path):
    codes = twin.encode(IMAGES * 2 - 1)
    zeros = {name: torch.zeros_like(value) for name, value in twin.weights.items()}
    torch.save(as_published(zeros, twin.weights), tmp_path / "tokenizer.ckpt")
    tokenizer = load_open_magvit2(tmp_path / "tokenizer.ckpt", SIZE)
    assert (tokenizer.spec.codebook_size, tokenizer.spec.num_codebooks, tokenizer.spec.grid) == (8, 2, (4, 6))
    found = tokenizer.encode(IMAGES)
    assert torch.equal(found[..., 0] + 8 * found[..., 1], codes)
    assert codes.unique().numel() > 4
    pixels = (twin.decode(codes) / 2 + 0.5).clamp(0, 1)
    torch.testing.assert_close(tokenizer.decode(found), pixels, atol=1e-4, rtol=1e-4)
    tokenizer.save(tmp_path / "folder")
    assert torch.equal(load_tokenizer(tmp_path / "folder").encode(IMAGES), found)


def test_weights_as_trained_and_one_code_a_place(twin, tmp_path):
    zeros = {name: torch.zeros_like(value) for name, value in twin.weights.items()}
    torch.save(as_published(twin.weights, zeros), tmp_path / "tokenizer.ckpt")
    tokenizer = load_open_magvit2(tmp_path / "tokenizer.ckpt", SIZE, num_codebooks=1, is_averaged=False)
    assert torch.equal(tokenizer.encode(IMAGES)[..., 0], twin.encode(IMAGES * 2 - 1))


def test_missing_and_foreign_weights_are_named(twin, tmp_path):
    path, weights = tmp_path / "tokenizer.pt", twin.weights
    torch.save(weights, path)
    with pytest.raises(ValueError, match="is_averaged=False"):
        load_open_magvit2(path, SIZE)

    def load(changed):
        torch.save(changed, path)
        load_open_magvit2(path, SIZE, is_averaged=False)

    name = "decoder.adaptive.1.gamma.weight"
    with pytest.raises(ValueError, match=rf"lacks \['{name}'\]"):
        load({n: value for n, value in weights.items() if n != name})
    with pytest.raises(ValueError, match="has .'quantize.project_in.weight'"):
        load(weights | {"quantize.project_in.weight": torch.zeros(1)})
    with pytest.raises(ValueError, match=rf"other shapes \['{name}'\]"):
        load(weights | {name: torch.zeros(1)})
    with pytest.raises(ValueError, match="an image tokenizer of Open-MAGVIT2"):
        load({"encoder.conv_in.weight": torch.zeros(1)})


def test_sizes_that_do_not_fit(twin, tmp_path):
    torch.save(twin.weights, tmp_path / "tokenizer.pt")
    with pytest.raises(ValueError, match="dim=6 bits"):
        load_open_magvit2(tmp_path / "tokenizer.pt", SIZE, num_codebooks=4, is_averaged=False)
    with pytest.raises(ValueError, match="multiple of 4"):
        load_open_magvit2(tmp_path / "tokenizer.pt", 18, is_averaged=False)
    with pytest.raises(ValueError, match="one token"):
        load_open_magvit2(tmp_path / "tokenizer.pt", 4, is_averaged=False)
