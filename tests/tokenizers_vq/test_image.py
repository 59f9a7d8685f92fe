import pytest
import torch

from tokenizers_vq.image import ImageVQ


@pytest.mark.parametrize(("downsample", "side"), [(4, 8), (8, 4)])
def test_geometry(downsample, side):
    spec = ImageVQ(image_size=32, width=8, downsample=downsample, num_codebooks=2).spec
    assert (spec.axes, spec.grid, spec.num_codebooks) == (("y", "x"), (side, side), 2)
    box = spec.tokens_of_box((0, downsample), (1, downsample + 1), (side, side))
    assert box.nonzero().tolist() == [[0, 1]]


def test_it_learns_a_few_images():
    torch.manual_seed(0)
    media = (torch.rand(8, 1, 4, 4, generator=torch.Generator().manual_seed(1)) > 0.5).float()
    media = torch.nn.functional.interpolate(media, size=(16, 16))
    tokenizer = ImageVQ(image_size=16, width=16, codebook_size=16, code_dim=8, decay=0.8).train()
    optimizer = torch.optim.Adam(tokenizer.parameters(), lr=5e-3)
    for _ in range(60):
        optimizer.zero_grad()
        tokenizer(media).loss.backward()
        optimizer.step()
    tokenizer.eval()
    error = (tokenizer.decode(tokenizer.encode(media)) - media).abs().mean()
    assert error < 0.1  # the mean image is 0.5 away


@pytest.mark.parametrize(
    "wrong", [{"downsample": 2}, {"image_size": 30}, {"channels": 2}, {"width": 12}, {"num_codebooks": 0}]
)
def test_wrong_arguments_are_named(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        ImageVQ(**wrong)
