"""Embeddings that start from code vectors keep who is near whom."""

from __future__ import annotations

import pytest
import torch

from maskmm.nn.code_vectors import start_from_code_vectors


def vectors(num_codebooks: int = 2, size: int = 40, channels: int = 6) -> torch.Tensor:
    return torch.randn(num_codebooks, size, channels, generator=torch.Generator().manual_seed(0))


def table(rows: int = 100, width: int = 64) -> torch.Tensor:
    return 0.01 * torch.randn(rows, width, generator=torch.Generator().manual_seed(1))


IDS = [slice(10, 50), slice(50, 90)]


def test_near_codes_start_near() -> None:
    weight, codes = table(), vectors()
    start_from_code_vectors(weight, codes, IDS, std=0.5, seed=3)
    for rows, vectors_KC in zip(IDS, codes):
        pairs = torch.stack([torch.pdist(vectors_KC), torch.pdist(weight[rows])])
        assert float(torch.corrcoef(pairs)[0, 1]) > 0.9
        assert float(weight[rows].std()) == pytest.approx(0.5, rel=0.25)


def test_codebooks_share_a_projection_and_other_rows_stay() -> None:
    codes = vectors(1).expand(2, -1, -1)
    before = torch.zeros(100, 64)
    weight = before.clone()
    start_from_code_vectors(weight, codes, IDS, std=1.0, seed=3)
    assert torch.equal(weight[IDS[0]], weight[IDS[1]])
    assert not weight[:10].any() and not weight[90:].any()


def test_codes_with_equal_vectors_can_part() -> None:
    weight, codes = table(), vectors()
    codes[0, 1] = codes[0, 0]
    start_from_code_vectors(weight, codes, IDS, std=1.0, seed=3)
    assert not torch.equal(weight[10], weight[11])


def test_the_seed_decides() -> None:
    tables = [table() for _ in range(3)]
    for weight, seed in zip(tables, (3, 3, 4)):
        start_from_code_vectors(weight, vectors(), IDS, std=1.0, seed=seed)
    assert torch.equal(tables[0], tables[1]) and not torch.equal(tables[0], tables[2])


def test_a_collapsed_codebook_is_finite() -> None:
    weight = table()
    start_from_code_vectors(weight, torch.ones(2, 40, 6), IDS, std=1.0, seed=0)
    assert bool(weight.isfinite().all())


def test_vectors_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match=r"shape \(2, 39, 6\) for codebooks of sizes \[40, 40\]"):
        start_from_code_vectors(table(), vectors(size=39), IDS, std=1.0, seed=0)
    with pytest.raises(ValueError, match=r"shape \(3, 40, 6\)"):
        start_from_code_vectors(table(), vectors(3), IDS, std=1.0, seed=0)
    with pytest.raises(ValueError, match="NaN"):
        start_from_code_vectors(table(), vectors() * torch.nan, IDS, std=1.0, seed=0)
