import pytest
import torch

from tokenizers_vq.quantizers import nearest_code

SIZES = [(1, 1, 1), (300, 17, 5), (128, 64, 8), (129, 64, 8), (600, 700, 3)]
WIDE = [
    (1, 64, 64),
    (37, 130, 70),
    (530, 600, 64),
]  # by a convolution, over tiles and rows that are no multiples


@pytest.mark.parametrize(("rows", "codes", "dim"), SIZES + WIDE)
def test_agrees_with_the_slow_twin(reference_quantize, rows, codes, dim):
    generator = torch.Generator().manual_seed(rows)
    x, codebook = torch.randn(rows, dim, generator=generator), torch.randn(codes, dim, generator=generator)
    assert torch.equal(nearest_code(x, codebook), reference_quantize.nearest_code(x, codebook))


def test_no_vector_gives_no_code():
    assert nearest_code(torch.zeros(0, 4), torch.randn(8, 4)).shape == (0,)


def test_of_equal_codes_the_first_is_taken():
    codebook = torch.tensor([[1.0], [0.0], [0.0]])
    assert nearest_code(torch.tensor([[0.1]]), codebook).tolist() == [1]
    # In a run of codes, in another run, in another tile.
    for first in (5, 70, 600):
        codebook = torch.ones(1024, 2)
        codebook[[first, first + 3, 1000]] = 0.0
        assert nearest_code(torch.zeros(3, 2), codebook).tolist() == [first] * 3


def test_half_precision_is_looked_up_in_full():
    codebook = torch.linspace(0, 1, 2000)[:, None]
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(nearest_code(codebook, codebook), torch.arange(2000))


def test_neither_gradient_nor_inference_mode_is_in_the_way():
    x, codebook = torch.randn(20, 64, requires_grad=True), torch.randn(128, 64, requires_grad=True)
    expected = nearest_code(x, codebook)
    assert not expected.requires_grad
    with torch.inference_mode():
        assert torch.equal(nearest_code(x.clone(), codebook.clone()), expected)
