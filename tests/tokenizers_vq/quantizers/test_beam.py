import itertools

import pytest
import torch

from tokenizers_vq.quantizers import ResidualVQ
from tokenizers_vq.quantizers.beam import beam_codes


def books(levels: int = 3, codes: int = 4, dim: int = 3) -> torch.Tensor:
    scale = 0.5 ** torch.arange(levels)[:, None, None]
    return torch.randn(levels, codes, dim, generator=torch.Generator().manual_seed(0)) * scale


def vectors(count: int = 50, dim: int = 3) -> torch.Tensor:
    return torch.randn(count, dim, generator=torch.Generator().manual_seed(1))


def error(x: torch.Tensor, codes: torch.Tensor, codebooks: torch.Tensor) -> torch.Tensor:
    chosen = torch.stack([book[code] for book, code in zip(codebooks, codes.unbind(dim=1))])
    return (x - chosen.sum(dim=0)).square().sum(dim=1)


def test_a_beam_of_one_is_the_nearest_code_of_each_level() -> None:
    quantizer = ResidualVQ(3, 16, 4).eval()
    x = vectors(100, 4)
    assert torch.equal(beam_codes(x, quantizer.code_vectors(), 1), quantizer.encode(x))


def test_a_beam_that_drops_nothing_finds_the_best() -> None:
    codebooks, x = books(), vectors()
    every = torch.tensor(list(itertools.product(range(4), repeat=3)))
    sums = torch.stack([book[code] for book, code in zip(codebooks, every.unbind(dim=1))]).sum(dim=0)
    expected = torch.cdist(x, sums).amin(dim=1).square()
    found = error(x, beam_codes(x, codebooks, 16), codebooks)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_a_wider_beam_leaves_less() -> None:
    codebooks, x = books(6, 16, 8), vectors(400, 8)
    left = [float(error(x, beam_codes(x, codebooks, beam), codebooks).mean()) for beam in (1, 4, 16)]
    assert left[0] > left[1] > left[2]


def test_company_does_not_count() -> None:
    codebooks, x = books(4, 16, 8), vectors(300, 8)
    together = beam_codes(x, codebooks, 4)
    assert torch.equal(beam_codes(x[7:8], codebooks, 4)[0], together[7])


def test_no_beam_is_named() -> None:
    with pytest.raises(ValueError, match="beam=0"):
        beam_codes(vectors(), books(), 0)
