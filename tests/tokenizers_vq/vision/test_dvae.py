import math

import pytest
import torch

from tokenizers_vq.layers.discrete_vae import BottleneckBlock
from tokenizers_vq.quantizers import FSQ, GumbelQuantizer
from tokenizers_vq.vision import DVAE, LogitLaplace


def images(count=4):
    return torch.rand(count, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def made(**changes) -> DVAE:
    torch.manual_seed(0)
    settings = {"quantizer": GumbelQuantizer(16, 8), "image_size": 16, "width": 8}
    return DVAE(**(settings | {"num_groups": 3, "num_blocks": 1} | changes))


def test_geometry_of_the_paper():
    with torch.device("meta"):
        tokenizer = DVAE(GumbelQuantizer(8192, 128, anneal_steps=1), 112)
    assert tokenizer.spec.grid == (14, 14)
    widths = [
        block.branch[-1].out_channels for block in tokenizer.encoder if isinstance(block, BottleneckBlock)
    ]
    assert widths == [256, 256, 512, 512, 1024, 1024, 2048, 2048]
    kernels = [layer.kernel_size[0] for layer in tokenizer.encoder[1].branch if hasattr(layer, "kernel_size")]
    assert kernels == [3, 3, 3, 1]
    assert tokenizer.encoder[1].gain == 1 / 64
    assert tokenizer.decoder[-1].out_channels == 6


def test_logit_laplace_is_a_density():
    """Over the pixel's range, and beyond where the map to (0, 1) leaves room, the density adds up to 1."""
    y = torch.linspace(1e-4, 1 - 1e-4, 100_000, dtype=torch.float64)
    target = ((y - 0.1) / 0.8 * 2 - 1)[None, None, None]
    parameters = torch.stack([torch.full_like(y, 0.3), torch.full_like(y, math.log(0.5))])[None, :, None]
    loss = LogitLaplace(smallest_scale=0.0)
    each = torch.stack(
        [
            loss(p[..., None], t[..., None])
            for p, t in [(parameters[..., i], target[..., i]) for i in range(0, 100_000, 500)]
        ]
    )
    assert float((-each).exp().mean()) == pytest.approx(1.0, abs=0.02)


def test_the_mode_is_the_likeliest_image():
    loss = LogitLaplace()
    target = torch.rand(1, 3, 4, 4) * 2 - 1
    y = 0.8 * (target / 2 + 0.5) + 0.1
    parameters = torch.cat([torch.logit(y), torch.full_like(y, -2.0)], dim=1)
    torch.testing.assert_close(loss.mode(parameters), target, atol=1e-5, rtol=1e-5)
    assert loss(parameters, target) < loss(parameters + 0.1, target)


def test_codes_are_the_likeliest_and_training_draws():
    tokenizer = made()
    drawn = [tokenizer.train()(images()).codes for _ in range(2)]
    assert not torch.equal(*drawn)
    tokenizer.eval()
    logits = tokenizer.quantizer.to_logits(tokenizer.latents(images() * 2 - 1))
    assert torch.equal(tokenizer.encode(images())[..., 0], logits.argmax(dim=-1))


def test_it_learns_a_few_images():
    media = (torch.rand(8, 3, 4, 4, generator=torch.Generator().manual_seed(1)) > 0.5).float()
    media = torch.nn.functional.interpolate(media, size=(8, 8))
    tokenizer = made(quantizer=FSQ((8, 8)), image_size=8, width=16, num_groups=2).train()
    optimizer = torch.optim.Adam(tokenizer.parameters(), lr=5e-3)
    for _ in range(100):
        optimizer.zero_grad()
        tokenizer(media).loss.backward()
        torch.nn.utils.clip_grad_norm_(tokenizer.parameters(), 1.0)
        optimizer.step()
    error = (tokenizer.eval().decode(tokenizer.encode(media)) - media).abs().mean()
    assert error < 0.35  # the mean image is 0.5 away


@pytest.mark.parametrize(
    ("wrong", "named"),
    [({"width": 6}, "width"), ({"num_groups": 0}, "num_groups"), ({"image_size": 18}, "image_size")],
)
def test_wrong_arguments_are_named(wrong, named):
    with pytest.raises(ValueError, match=named):
        made(**wrong)
