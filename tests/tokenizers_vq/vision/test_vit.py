import pytest
import torch

from tokenizers_vq.quantizers import FSQ, CosineVQ
from tokenizers_vq.vision import ViTTokenizer


def images(height=16, width=24):
    return torch.rand(3, 3, height, width, generator=torch.Generator().manual_seed(0))


def made(**changes) -> ViTTokenizer:
    torch.manual_seed(0)
    settings = {"quantizer": CosineVQ(16, 4), "image_size": (16, 24), "patch_size": 4, "width": 16}
    return ViTTokenizer(**(settings | {"depth": 1, "num_heads": 2} | changes))


def test_a_code_for_each_patch():
    spec = made().spec
    assert (spec.axes, spec.grid, spec.stride) == (("y", "x"), (4, 6), (4, 4))


def test_patches_come_back_to_their_places():
    tokenizer = made(image_size=(8, 12)).eval()
    latents = torch.zeros(1, 2, 3, 4)
    moved = latents.clone()
    moved[0, 1, 2] = 1
    with torch.no_grad():
        # Without attention between places a code moves its own patch alone.
        for block in tokenizer.decoder.blocks[:-1]:
            block.attn.proj.weight.zero_()
        changed = (tokenizer.images(moved) - tokenizer.images(latents)).abs().sum(dim=(0, 1)) > 0
    assert changed.nonzero().amin(dim=0).tolist() == [4, 8]
    assert changed.nonzero().amax(dim=0).tolist() == [7, 11]


def test_codes_of_the_whole_image():
    tokenizer = made(num_latents=5, quantizer=FSQ((8, 5))).eval()
    spec = tokenizer.spec
    assert (spec.axes, spec.grid, spec.stride) == (("n",), (5,), ())
    codes = tokenizer.encode(images())
    assert codes.shape == (3, 5, 1)
    assert tokenizer.decode(codes).shape == (3, 3, 16, 24)
    # Each code touches all of the image.
    other = codes.clone()
    other[:, 0] = (other[:, 0] + 17) % 40
    changed = (tokenizer.decode(other) - tokenizer.decode(codes)).abs().sum(dim=(0, 1)) > 0
    assert changed.float().mean() > 0.9


@pytest.mark.parametrize("num_latents", [None, 6])
def test_it_learns_a_few_images(num_latents):
    media = (torch.rand(6, 3, 2, 2, generator=torch.Generator().manual_seed(1)) > 0.5).float()
    media = torch.nn.functional.interpolate(media, size=(16, 16))
    tokenizer = made(image_size=16, width=32, num_latents=num_latents, quantizer=FSQ((8, 5, 5))).train()
    optimizer = torch.optim.Adam(tokenizer.parameters(), lr=3e-3)
    for _ in range(120):
        optimizer.zero_grad()
        tokenizer(media).loss.backward()
        optimizer.step()
    error = (tokenizer.eval().decode(tokenizer.encode(media)) - media).abs().mean()
    assert error < 0.25  # the mean image is 0.5 away


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"patch_size": 5}, "patch_size"),
        ({"num_latents": 0}, "num_latents"),
        ({"num_heads": 3}, "num_heads"),
        ({"depth": 0}, "depth"),
    ],
)
def test_wrong_arguments_are_named(wrong, named):
    with pytest.raises(ValueError, match=named):
        made(**wrong)
