import pytest
import torch

from tokenizers_vq.quantizers import nearest_code


@pytest.mark.parametrize(("rows", "codes", "dim"), [(1, 1, 1), (300, 17, 5), (128, 64, 8), (129, 64, 8)])
def test_agrees_with_the_slow_twin(reference_quantize, rows, codes, dim):
    generator = torch.Generator().manual_seed(rows)
    x, codebook = torch.randn(rows, dim, generator=generator), torch.randn(codes, dim, generator=generator)
    assert torch.equal(nearest_code(x, codebook), reference_quantize.nearest_code(x, codebook))


def test_no_vector_gives_no_code():
    assert nearest_code(torch.zeros(0, 4), torch.randn(8, 4)).shape == (0,)


def test_of_equal_codes_the_first_is_taken():
    codebook = torch.tensor([[1.0], [0.0], [0.0]])
    assert nearest_code(torch.tensor([[0.1]]), codebook).tolist() == [1]


def test_half_precision_is_looked_up_in_full():
    codebook = torch.linspace(0, 1, 2000)[:, None]
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(nearest_code(codebook, codebook), torch.arange(2000))
